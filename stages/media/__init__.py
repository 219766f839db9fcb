"""Sound and video files: ffmpeg, loudness, sample rates, lengths."""
