"""Marks of the finished video: a visible label, the metadata of the file, a signed manifest."""
