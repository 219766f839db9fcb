"""OpenAI's speech door: `/v1/audio/speech` and what its clients ask beside it, made by jobs of `kind: speech`."""
