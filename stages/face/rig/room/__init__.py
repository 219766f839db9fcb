"""Changes a motion track so that chin and border of the figure stay where they belong in the picture."""
