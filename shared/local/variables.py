"""Which environment variables reach the services, and which of them are secret."""

import re

PASSED_ON = re.compile(r"^(LIPSTAGE|OTEL|KAFKA|AWS|OMP)_")
"""Passed to every service and printed as exports."""
DEVICES = re.compile(r"^(CUDA_VISIBLE_DEVICES|CUDA_DEVICE_ORDER|NVIDIA_VISIBLE_DEVICES|PYTORCH_\w*ALLOC_CONF)$")
"""Passed to every service: visible accelerators, a MIG instance included, and the allocation of their memory."""
SECRET = re.compile(r"SECRET|PASSWORD|TOKEN|ACCESS_KEY|SESSION|_KEY$|HEADERS|CREDENTIAL", re.IGNORECASE)
"""Never printed and never written to a file; services inherit them."""


def passed_on(name: str) -> bool:
    """Whether a variable of the caller is written to the services' program files."""
    return bool(PASSED_ON.match(name) or DEVICES.match(name)) and not SECRET.search(name)
