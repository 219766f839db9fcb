"""The voice engines, their voices, and the choice of a voice for a job."""
