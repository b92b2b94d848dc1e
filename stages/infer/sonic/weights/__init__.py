"""What is done to weights before an engine loads them: checking a folder, and converting it once."""
