"""Evaluates IAM policies as their documentation says, for tests that need no server."""

import re
from typing import Any


def allows(policy: dict[str, Any] | None, action: str, bucket: str, key: str = "") -> bool:
    """Whether a statement allows the action on the object, or on the bucket without ``key``."""
    if policy is None:
        return False
    resource = f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else "")
    return any(
        any(_matches(pattern, action) for pattern in statement["Action"])
        and any(_matches(pattern, resource) for pattern in statement["Resource"])
        for statement in policy["Statement"]
    )


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None
