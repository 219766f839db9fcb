"""What moves and closes the eyes: lids, lashes, eyeballs and the rim of glasses before them."""
