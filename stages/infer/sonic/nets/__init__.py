"""The model's networks, with the key names of the official weight files."""
