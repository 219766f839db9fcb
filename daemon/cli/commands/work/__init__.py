"""Commands that tell how much this machine does, and what it has done."""
