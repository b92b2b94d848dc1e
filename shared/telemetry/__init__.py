"""Traces, metrics and logs of a service. Knows nothing of renders, Kafka topics or storage."""
