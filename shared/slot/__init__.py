"""The worker process of a slot: the pipe protocol, the context of a handler, its limits."""
