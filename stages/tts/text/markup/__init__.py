"""Reads what a text says of its own speaking: SSML, stage directions, names of speakers, the times of subtitles."""

from stages.tts.text.markup.reader import markup_warnings, read_markup, recording_markup_warnings

__all__ = ["markup_warnings", "read_markup", "recording_markup_warnings"]
