"""Sonic (Ji et al. 2024, "Sonic: Shifting Focus to Global Audio Perception in Portrait Animation") as an engine.

Our own implementation of the published model, with the key names of its official weight files.
"""
