"""Draws the figure of each frame on a device of torch's, such as a GPU: what `stages.encode.compose` draws, within 1 of 255."""
