"""Prepares written text for speech: removes traces of typesetting, and writes in words what voices misread."""
