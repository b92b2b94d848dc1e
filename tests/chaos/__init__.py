"""Faults injected into a real pipeline, and a checker over what it left in topics and bucket: docs/chaos.md."""
