"""Which hosts and origins a request may name: other web pages must not act through a person's browser."""

from collections.abc import Collection
from urllib.parse import urlsplit

from stages.gateway.problems import Problem

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Origins:
    """The check of one gateway."""

    def __init__(self, *, loopback_only: bool, allowed: Collection[str]) -> None:
        """``loopback_only``: there are no keys, so a name that leads here from elsewhere is refused (DNS rebinding).
        ``allowed`` are origins of other pages."""
        self._loopback_only = loopback_only
        self.allowed = frozenset(allowed)

    def check(self, method: str, host: str | None, origin: str | None, fetch_site: str | None) -> None:
        """Raises Problem for a host that is not this gateway, and for a change that another page asks for."""
        name = _host(host or "")
        if self._loopback_only and name not in LOOPBACK_HOSTS:
            raise Problem(421, "WRONG_HOST", "without API keys the gateway answers under localhost and 127.0.0.1 only")
        if method in SAFE or origin in self.allowed:
            return
        if (origin is not None and urlsplit(origin).netloc != host) or fetch_site in ("cross-site", "same-site"):
            raise Problem(
                403,
                "ORIGIN_FORBIDDEN",
                "pages of other origins may not change anything here",
                hint="see LIPSTAGE_GATEWAY_CORS_ORIGINS",
            )


def _host(text: str) -> str:
    try:
        return urlsplit(f"//{text}").hostname or ""
    except ValueError:
        return ""
