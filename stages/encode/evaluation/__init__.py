"""Measures lip sync and picture quality of a talking-head video.

It shares neither networks nor code with the engines. ``python -m stages.encode.evaluation`` measures any video against
a recording; ``lipstage eval`` runs it in a process of its own.
"""
