"""Captions: cues of timed words, their files, their fonts, and their place in the picture."""
