"""Recognises the words of recordings that come without their text."""
