"""Reads what the doors wrote into the inbox, and removes what they brought there once nothing needs it."""
