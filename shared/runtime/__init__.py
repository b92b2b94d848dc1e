"""The stage runtime: takes tasks from Kafka, runs them in slots, hands them on. Knows nothing of media."""
