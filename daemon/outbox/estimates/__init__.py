"""Estimates: what is learned of how long stages take, and how wrong the expected ends of jobs were."""
