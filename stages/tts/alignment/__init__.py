"""Finds the times of the words of a known text in a sound."""
