"""Parts of the daemon on real folders, each with fakes only where a test must decide what happens."""
