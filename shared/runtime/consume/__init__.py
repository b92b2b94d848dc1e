"""From the broker to a slot: the consumer loop, what it may commit, cancel commands, client statistics."""
