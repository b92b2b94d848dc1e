"""The worker's side of a slot: the pipe protocol, the context a handler sees, its limits."""
