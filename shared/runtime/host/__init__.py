"""Hosts a service: start, probes, signals, shutdown."""
