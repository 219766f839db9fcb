"""The index of all jobs: found by name, text, state, kind, owner, tag and date, also when there are hundreds of thousands."""
