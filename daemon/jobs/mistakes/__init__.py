"""Recognises what people write wrong in a manifest, and says what is right."""
