"""Benchmarks of the sonic engine with random weights: the official config on a GPU, a tiny one without."""
