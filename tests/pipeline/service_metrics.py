"""What a running service reports at ``/metrics``."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def series(port: int, name: str, **labels: str) -> list[Sample]:
    """The series of a metric that have all of the given labels; ``port``: of the service's health checks."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return [one for one in samples if one.name == name and labels.items() <= one.labels.items()]


def total(port: int, name: str, **labels: str) -> float:
    """Their sum; 0 while there is none."""
    return sum(sample.value for sample in series(port, name, **labels))
