"""Open files: each event stream needs one, and the usual soft limit of 1024 is less than LIPSTAGE_GATEWAY_MAX_WATCHERS
and everything else together."""

import resource


def allow_all() -> None:
    """Raise the soft limit of this process to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
