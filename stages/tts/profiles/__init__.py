"""Voice profiles from recordings: `sample` decodes and chooses what is best of one, `quality` measures it, `make` keeps it."""
