"""Cuts the person out for another background: a clean outline, a closed crown, one piece."""
