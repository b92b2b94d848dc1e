"""One program under the supervisor: its command, its environment and the time it has to stop."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the stack. ``argv[0]`` is an absolute path; ``env`` holds no secrets."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    with_credentials: bool = False
    """Add the local object store's key pair to its environment."""
    with_cache_key: bool = False
    """Give it the generated secrets of the output cache and of the hashes in telemetry, unless the caller set them."""
    with_webhook_key: bool = False
    """Give it the generated secret that webhooks are signed with, unless the caller set one."""
    secrets: Path | None = None
    """The file of its own secrets; None: that of the stack."""
    stop_seconds: int = 6
    """From SIGTERM to SIGKILL."""

    def write(self, folder: Path, *, cwd: Path, secrets: Path, supervisor: Path) -> Path:
        """Write the program file that `pdeathsig_launcher` reads.

        The file name contains a digest of the contents, so that any change is a changed command for the supervisor.
        """
        document = {
            "argv": self.argv,
            "env": self.env,
            "cwd": str(cwd),
            "secrets": str(self.secrets or secrets),
            "with_credentials": self.with_credentials,
            "with_cache_key": self.with_cache_key,
            "with_webhook_key": self.with_webhook_key,
            "supervisor": str(supervisor),
        }
        digest = hashlib.sha256(json.dumps([document, asdict(self)], sort_keys=True, default=str).encode()).hexdigest()[
            :12
        ]
        path = folder / f"{self.name}.{digest}.json"
        path.write_text(json.dumps(document, indent=1))
        path.chmod(0o600)
        return path
