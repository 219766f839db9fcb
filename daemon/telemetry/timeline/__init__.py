"""`avatar timeline`: what ran in which slot of a lane, and why slots stood still, as a picture or a trace."""
