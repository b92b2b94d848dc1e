"""Judges a talking-head video by means that share neither networks nor code with the engines.

`python -m stages.encode.judge` measures any mp4 against a recording; `lipstage eval` runs it in a process of its own.
"""
