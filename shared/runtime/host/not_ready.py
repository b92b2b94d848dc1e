"""How a service reports that it runs and can't work; the command line reads it, too, and loads no service."""

NOT_READY = "not ready: "
"""Prefix of the reason of a service that runs but can't process records: no weights, no device, no disk space."""
