"""The stage runtime: from a record on a Kafka topic to its commit."""
