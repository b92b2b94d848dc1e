"""A service around its work: start, probes, signals, shutdown."""
