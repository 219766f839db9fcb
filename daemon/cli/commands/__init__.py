"""The commands of `avatar`, a module each."""
