"""Small jobs, model files and checks for the tests of the stages."""
