"""Frames of a chunk, written by one stage and read by the next: raw, or coded without loss.

In the worker processes only: a codec imports its media library when it is used, the service's parent never does.
"""
