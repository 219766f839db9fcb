"""What people ask of the running daemon, and the ways in which they ask."""
