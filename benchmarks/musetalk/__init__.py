"""Measures the lip-sync engine `musetalk` by itself."""
