"""The model's networks, each with the official files' key names; shapes and equations stand in the docstrings."""
