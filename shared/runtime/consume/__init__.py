"""From the broker to a slot: the consumer loop, the offsets it may commit, cancel commands, client statistics."""
