"""The figure of a portrait: what is prepared once for all frames, and kept for the next job about the same portrait."""
