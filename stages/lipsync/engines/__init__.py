"""The lip-sync engines, a record each: `ENGINE` in the module of its name."""
