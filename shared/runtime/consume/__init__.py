"""From the broker to a slot: the consumer loop, what it may commit, and what else a service reads."""
