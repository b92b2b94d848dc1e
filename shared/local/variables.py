"""Which environment variables concern the stack, and which of them nobody may read."""

import re

PASSED_ON = re.compile(r"^(LIPSTAGE|OTEL|KAFKA|AWS|OMP)_")
"""Reach every service and every export."""
DEVICES = re.compile(r"^(CUDA_VISIBLE_DEVICES|CUDA_DEVICE_ORDER|NVIDIA_VISIBLE_DEVICES|PYTORCH_\w*ALLOC_CONF)$")
"""Which accelerators a service sees, a MIG instance included, and how it takes their memory: reach every service."""
SECRET = re.compile(r"SECRET|PASSWORD|TOKEN|ACCESS_KEY|SESSION|_KEY$|HEADERS|CREDENTIAL", re.IGNORECASE)
"""Never shown and never written to a file; services get them by inheritance."""


def passed_on(name: str) -> bool:
    """Whether a variable of the caller's is written into the services' program files."""
    return bool(PASSED_ON.match(name) or DEVICES.match(name)) and not SECRET.search(name)
