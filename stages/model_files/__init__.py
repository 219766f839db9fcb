"""Model files: what they are, where they lie, whether they are whole, and bringing them."""
