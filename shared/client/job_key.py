"""The name of a job: tenant and job id."""

import re
from typing import NamedTuple, Self

from shared.client.errors import InvalidRequest
from shared.messages.names import DEFAULT_TENANT, JOB_ID, NAME


class JobKey(NamedTuple):
    """The whole name of a job: two tenants may use the same job id."""

    tenant: str
    job_id: str

    @classmethod
    def parse(cls, job_id: str, tenant: str = DEFAULT_TENANT) -> Self:
        """The key of two texts that a person gave. Raises InvalidRequest for a text that can't be one."""
        if re.fullmatch(JOB_ID, job_id) is None:
            raise InvalidRequest(f"{job_id!r} is not a job id", "a job id has 1 to 64 of A-Z, a-z, 0-9, _ and -")
        return cls(checked_tenant(tenant), job_id)


def checked_tenant(text: str) -> str:
    """The text, if it can be a tenant's name. Raises InvalidRequest."""
    if re.fullmatch(NAME, text) is None:
        raise InvalidRequest(
            f"{text!r} is not a tenant", "a tenant has 1 to 63 of a-z, 0-9, _ and -, and begins with a letter or digit"
        )
    return text
