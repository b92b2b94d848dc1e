"""The stages of a render: each package knows one kind of work and nothing of Kafka or S3."""
