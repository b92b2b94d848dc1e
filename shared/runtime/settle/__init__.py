"""What becomes of a record: outcomes, failures, events, dead letters, cleaning up."""
