"""The state of the local stack, stored by `up` as `stack.json` in the state folder for later commands."""

import hashlib
import os
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from shared.local import access_files, gateway, no_proxy, signing_certificate
from shared.local import credentials as secrets
from shared.local.credentials import Credentials, load_or_create
from shared.local.ports import HOST
from shared.local.settings import LocalSettings
from shared.local.supervision import Supervisor
from shared.messages.pipeline import GATEWAY, PROJECTION

FILE = "stack.json"
PROJECTION_URL = "LIPSTAGE_PROJECTION_URL"
PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
"""What the collector speaks; the second wins where it is set."""
NAMES = (FILE, secrets.FILE, "lock", "run", "logs", "tmp", "traces", "kafka", "store", "store-security",
         signing_certificate.FOLDER, access_files.FOLDER, "tempo", "prometheus", "grafana", gateway.KEYS)  # fmt: skip
"""Everything that the stack creates in its state folder, except the jars."""
# sun_path holds 108 bytes including the terminating zero; supervisord first binds to the name with its pid appended.
MAX_SOCKET_FOLDER_BYTES = 108 - 1 - len("/supervisord.sock.4194304")


class ServiceRecord(BaseModel):
    """One running service: of a stage, the relay, the projection, or the gateway."""

    name: str
    stage: str
    engine: str | None
    topic: str
    """Of the relay: the start of its topics' names and ``*``; of the gateway empty, as its group."""
    group: str
    health_port: int
    port: int = 0
    """Of the projection and the gateway: where they answer."""
    keys_file: Path | None = None
    """Of the gateway: the API keys that it asks for; None: it asks for none."""


class Stack(BaseModel):
    """A local stack: addresses, ports, services. Ports and data outlive `down`; `running` does not."""

    model_config = ConfigDict(extra="ignore")

    state_dir: Path
    running: bool = False
    bootstrap_servers: str = ""
    s3_endpoint_url: str = ""
    otlp_endpoint: str = ""
    region: str = ""
    bucket: str = ""
    own_broker: bool = False
    own_store: bool = False
    own_traces: bool = False
    topic_prefix: str = ""
    """Prefix of the services' topics and groups."""
    variables: dict[str, str] = Field(default_factory=dict)
    """LIPSTAGE_ variables of the last `up`, without secrets: what its services read."""
    ports: dict[str, int] = Field(default_factory=dict)
    """Loopback ports by part: kafka, controller, store listeners (s3, master.grpc, ...), traces."""
    sockets: Path
    """Folder of the control sockets."""
    services: list[ServiceRecord] = Field(default_factory=list)
    scale: dict[str, int] = Field(default_factory=dict)
    """Replicas by stage, from the last `--scale`; 1 for other stages."""
    observability: bool = False
    """Whether `up --observability` asked for Tempo, Prometheus and Grafana; kept by later calls."""
    programs: dict[str, Path] = Field(default_factory=dict)
    """The programs of those that run, by name."""
    engines: tuple[str, ...] = ()
    """Engines of the last `--engine`, beside those of the settings."""
    secure: bool = False
    """Whether `up --secure` asked for credentials of each service; kept by later calls."""

    @property
    def kafka_properties_file(self) -> Path | None:
        """The operator's properties file for the local broker; None where it takes every request of this machine."""
        return access_files.properties_file(self.state_dir) if self.secure and not self.own_broker else None

    @property
    def mark(self) -> str:
        """Identifier of this stack in the environment of its processes; a function of the state folder."""
        return hashlib.sha256(str(self.state_dir).encode()).hexdigest()[:16]

    @property
    def traces_url(self) -> str:
        """URL of the local trace receiver's queries; empty when traces go to an external collector."""
        return f"http://{HOST}:{self.ports['traces']}" if "traces" in self.ports and not self.own_traces else ""

    def url(self, part: str) -> str:
        """Address of Tempo's queries, of Prometheus or of Grafana; empty when it does not run here."""
        return f"http://{HOST}:{self.ports[part]}" if part in self.programs else ""

    @property
    def gateway(self) -> ServiceRecord | None:
        """The gateway, where one runs."""
        return next((record for record in self.services if record.stage == GATEWAY), None)

    @property
    def gateway_url(self) -> str:
        """Address of the gateway; empty when none runs."""
        return f"http://{HOST}:{self.gateway.port}" if self.gateway is not None else ""

    @property
    def scratch(self) -> Path:
        """Folder for temporary files of broker and services; removed by `down`."""
        return self.state_dir / "tmp"

    def supervisor(self) -> Supervisor:
        """The handle on this stack's supervisor."""
        run = self.state_dir / "run"
        return Supervisor(run, self.state_dir / "logs", self.sockets / "supervisord.sock",
                          self.state_dir / secrets.FILE, self.mark)  # fmt: skip

    def environment(self, credentials: Credentials | None) -> dict[str, str]:
        """Variables with which any client or service reaches this stack; without ``credentials`` the caller's apply."""
        values = {
            **no_proxy.variables(os.environ),
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            **({"KAFKA_PROPERTIES_FILE": str(file)} if (file := self.kafka_properties_file) else {}),
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.otlp_endpoint,
            **self._protocols(),
            "LIPSTAGE_STATE_DIR": str(self.state_dir),
            "LIPSTAGE_BUCKET": self.bucket,
            **self._projection(),
            **({"LIPSTAGE_TOPIC_PREFIX": self.topic_prefix} if self.services else {}),
            **({"LIPSTAGE_TEMPO_URL": self.url("tempo")} if "tempo" in self.programs else {}),
            **({"AWS_ENDPOINT_URL_S3": self.s3_endpoint_url} if self.s3_endpoint_url else {}),
        }
        return values | (credentials.environment() if credentials else {})

    def _protocols(self) -> dict[str, str]:
        """The local receiver speaks HTTP, whatever the caller's shell says for other programs."""
        if self.own_traces:
            return {}
        named = [name for name in PROTOCOLS[1:] if os.environ.get(name)]
        return dict.fromkeys([PROTOCOLS[0], *named], "http/protobuf")

    def _projection(self) -> dict[str, str]:
        """Where the stack's projection answers, unless the caller names another one."""
        found = [record.port for record in self.services if record.stage == PROJECTION]
        named = os.environ.get(PROJECTION_URL)
        return {PROJECTION_URL: named or f"http://{HOST}:{found[0]}"} if found else {}

    def save(self) -> None:
        """Write the file atomically."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        temporary = self.state_dir / f".{FILE}.{os.getpid()}"
        temporary.write_text(self.model_dump_json(indent=1))
        temporary.replace(self.state_dir / FILE)


def load(state: Path) -> Stack | None:
    """The stack of that state folder; None when it has none, or its file is damaged."""
    path = state / FILE
    try:
        return Stack.model_validate_json(path.read_text())
    except (OSError, ValueError):
        return None


def running(state: Path) -> Stack | None:
    """The stack of that state folder, if its supervisor answers; None otherwise."""
    stack = load(state)
    return stack if stack and stack.running and stack.supervisor().responds() else None


def credentials_of(stack: Stack) -> Credentials | None:
    """The local object store's credentials; None for an external store, which takes the caller's."""
    return None if stack.own_store else load_or_create(stack.state_dir)


def with_engines(settings: LocalSettings, stack: Stack) -> LocalSettings:
    """The settings with the engines that the command line added."""
    return settings.model_copy(update={"engines": tuple(dict.fromkeys((*settings.engines, *stack.engines)))})


def exists(state: Path) -> bool:
    """Whether a stack was started in that folder: then entries with our names are ours."""
    return any((state / name).exists() for name in (FILE, secrets.FILE))


def fresh(state: Path) -> Stack:
    """A stack that has not been started yet: it has no folder for sockets outside ``state``, see ``socket_folder``."""
    return Stack(state_dir=state, sockets=state / "run")


def socket_folder(state: Path) -> Path:
    """Folder for sockets: the run folder, or a new temporary one when that path is too long for a socket."""
    run = state / "run"
    if len(os.fsencode(run)) <= MAX_SOCKET_FOLDER_BYTES:
        return run
    return Path(tempfile.mkdtemp(prefix="lipstage-"))
