"""Voice profiles from recordings: `sample` selects the best part, `quality` measures it, `create` saves the profile."""
