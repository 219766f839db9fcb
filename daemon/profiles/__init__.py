"""Profiles that people keep under a name, outside all caches: the folders they are in, and the profiles of avatars."""
