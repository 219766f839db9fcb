"""Avatar profiles in the face stage: they are made from what it measures, and spare jobs that measurement."""
