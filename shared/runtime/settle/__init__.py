"""Settles a record: terminal events, dead letters, cleanup, outcome metrics; and the janitor."""
