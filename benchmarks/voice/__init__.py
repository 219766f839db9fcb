"""Measures voice engines by themselves."""
