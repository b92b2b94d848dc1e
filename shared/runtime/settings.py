"""Settings of a stage service, from the environment; the prefix is LIPSTAGE_, or KAFKA_ for Kafka's own."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.messages.names import DEFAULT_TENANT, NAME
from shared.messages.tenant_topics import RESERVED, UNVERIFIED, tenant_topic
from shared.messages.tiers import DEFAULT_TIERS, Tier, parse_tiers
from shared.messages.topics import DEAD_LETTERS_DAYS, EVENTS_DAYS, WORK_PARTITIONS


class StateSettings(BaseSettings):
    """Where a machine keeps the state of a deployment."""

    model_config = SettingsConfigDict(
        env_prefix="LIPSTAGE_", extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

    state_dir: Path = Field(
        Path(".lipstage"),
        description="Folder of the local stack's data, logs and addresses, and of fetched weights; relative to the"
        " current one.",
    )

    @field_validator("state_dir")
    @classmethod
    def _resolve_state_dir(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @property
    def state(self) -> Path:
        """State folder, absolute."""
        return self.state_dir.resolve()


class DeploymentSettings(BaseSettings):
    """Settings that both the services and the local stack read: declared once, with one default."""

    model_config = SettingsConfigDict(
        env_prefix="LIPSTAGE_", extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

    kafka_properties_file: Path | None = Field(
        None,
        validation_alias=AliasChoices("KAFKA_PROPERTIES_FILE", "kafka_properties_file"),
        description="Any librdkafka property, one key=value a line: TLS, SASL; bootstrap.servers in it names your"
        " broker. In a value, ${directory:FOLDER:FILE} is the content of that file.",
    )
    topic_prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,64}$", description="Prefix of every topic and group.")
    engines: Annotated[tuple[str, ...], NoDecode] = Field(
        ("puppet",),
        min_length=1,
        description="Enabled engines, comma-separated; a request for another is rejected with ENGINE_UNAVAILABLE. `up`"
        " starts an infer service for each.",
    )
    drain_s: float = Field(
        20.0,
        ge=0,
        le=86_400,
        description="On SIGTERM: how long a running task may continue, seconds. With 5 s for leaving the group it must"
        " fit the platform's grace period (Kubernetes: 30 s).",
    )

    retry_tiers: Annotated[tuple[str, ...], NoDecode] = Field(
        tuple(tier.name for tier in DEFAULT_TIERS),
        min_length=1,
        max_length=8,
        description="Delays before the further attempts of a task, comma-separated and growing, in s, m or h, each at"
        " most 24h. Each is a retry topic; the last one repeats.",
    )

    @field_validator("retry_tiers")
    @classmethod
    def _check_tiers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_tiers(value)
        return value

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """The retry tiers, the shortest first."""
        return parse_tiers(self.retry_tiers)

    @field_validator("engines", "retry_tiers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


class RuntimeSettings(DeploymentSettings):
    """Settings of every stage's runtime. Field descriptions give unit and reason."""

    model_config = SettingsConfigDict(
        env_prefix="LIPSTAGE_", extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    bootstrap_servers: str = Field(
        "127.0.0.1:9092",
        validation_alias=AliasChoices("KAFKA_BOOTSTRAP_SERVERS", "bootstrap_servers"),
        description="Brokers, host:port[,host:port].",
    )
    work_partitions: int = Field(
        WORK_PARTITIONS,
        ge=1,
        le=10_000,
        description="Partitions of each topic of requests and tasks (one a stage and lane), for `lipstage topics`: as"
        " many replicas of a stage can work at the same time. Kafka adds partitions and removes none.",
    )
    tenancy: Literal["open", "single", "topic", "signed"] = Field(
        "open",
        description="Who may speak for a tenant. open: whoever may produce requests, for any. single: the one tenant"
        " LIPSTAGE_TENANT. topic: whoever may write to the tenant's own topics. signed: whoever has a key of"
        " LIPSTAGE_TENANT_KEY. See [tenants.md](tenants.md). The same for services and clients.",
    )
    tenant: str = Field(
        DEFAULT_TENANT, pattern=NAME, description="With LIPSTAGE_TENANCY=single: the tenant of every request."
    )
    tenant_partitions: int = Field(
        4,
        ge=1,
        le=10_000,
        description="With LIPSTAGE_TENANCY=topic: partitions of each topic of a tenant, for `lipstage topics`; as many"
        " audio replicas can work on one tenant's requests.",
    )
    signature_max_age_s: float = Field(
        300.0,
        ge=1,
        le=86_400,
        description="With LIPSTAGE_TENANCY=signed: how long before or after the broker receives it a record may have"
        " been signed, seconds. The wait in the topic does not count.",
    )
    retention_events_days: int = Field(
        EVENTS_DAYS,
        ge=1,
        le=3650,
        description="Events of jobs on render.events, days, for `lipstage topics`: lists of jobs, the audit and the"
        " projection know no older jobs.",
    )
    retention_dead_letter_records_days: int = Field(
        DEAD_LETTERS_DAYS,
        ge=1,
        le=3650,
        description="Records on render.dlq and render.parked, days, for `lipstage topics`: what they refer to must be"
        " kept for longer (LIPSTAGE_RETENTION_JOBS_DAYS and others; `lipstage doctor` compares).",
    )
    group_protocol: Literal["auto", "consumer", "classic"] = Field(
        "auto", description="KIP-848 (consumer) where the broker offers it, else cooperative-sticky."
    )
    group_instance_id: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,249}$",
        description="Static membership: a name of this replica that stays the same after its restart and that no other"
        " replica has. Only for StatefulSets (the pod's name); empty: none. A replica that is removed keeps its"
        " partitions until the session timeout.",
    )
    max_poll_interval_ms: int = Field(
        900_000, ge=10_000, le=86_400_000, description="Bounds the revocation barrier, not a task."
    )
    routing: Literal["least-loaded", "round-robin"] = Field(
        "least-loaded",
        description="How a task's partition is chosen: the one whose owner has the fewest unfinished tasks, or one"
        " after the other. Least-loaded needs the right to describe the next stage's group; without it the choice is"
        " round-robin.",
    )
    overlap: bool = Field(
        True,
        description="Let encode start while infer still renders: infer announces its chunks on render.chunks, encode"
        " works on them in a slot that has nothing to do. Either stage's false switches it off.",
    )
    overlap_max_s: float = Field(
        120.0,
        ge=0,
        le=86_400,
        description="Encode starts early when infer is expected to end within this time, seconds, at its pace so far.",
    )
    read_ahead: int = Field(
        2000,
        ge=1,
        le=10_000,
        description="Records of each lane that wait in a service, at most; 16 MiB of them. Tenants share the slots"
        " among these: more records make the shares fairer, and take about 5 KB of memory each.",
    )
    tenant_quota: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Interactive requests of one tenant a minute that each audio service takes; further ones go on in"
        " the bulk lane. 0: no quota.",
    )
    quotas_file: Path | None = Field(
        None,
        description="JSON file with the quotas of tenants: jobs in flight, speech and pixels an hour. A job over one is"
        " rejected with QUOTA_EXCEEDED. All stages need the same file; a change counts without a restart. Unset: no"
        " quotas.",
    )
    engine: str = Field("puppet", description="The engine this infer service runs.")
    slots: int = Field(1, ge=1, le=64, description="Tasks at the same time, one worker process each; infer: 1 per GPU.")
    worker_reuse: Literal["tenant", "never", "always"] = Field(
        "tenant",
        description="For which tasks a worker process that has run one is used again: those of the same tenant, none,"
        " or all (only where all jobs are of one tenant). infer, which opens no user media, always keeps its process.",
    )
    max_attempts: int = Field(
        5,
        ge=1,
        le=100,
        description="Total attempts of a task at one stage: in the process, over the retry tiers and after crashes.",
    )
    max_crashes: int = Field(
        3,
        ge=1,
        le=10,
        description="How often the worker process or the whole service may die or hang on one record before it becomes"
        " a dead letter with CRASH_LOOP.",
    )
    store_retry_timeout_s: float = Field(
        20.0,
        ge=0,
        le=86_400,
        description="How long a task retries an object store that does not answer, seconds; after longer work, for as"
        " long as the work took. Then its record waits on a retry topic.",
    )
    free_space_reserve_mb: int = Field(
        512, ge=0, le=1 << 30, description="Disk space that must stay free in addition to what a task needs, MiB."
    )
    trust_trace_context: bool = Field(
        True,
        description="Continue the trace of a request's sender. Set false if untrusted clients may produce requests:"
        " each job then starts a trace linked to the sender's, independent of its sampled flag.",
    )
    max_portrait_mb: int = Field(64, ge=1, le=1 << 20, description="Largest portrait object, MiB.")
    max_speech_mb: int = Field(512, ge=1, le=1 << 20, description="Largest speech object, MiB.")
    confinement: Literal["auto", "required", "off"] = Field(
        "auto",
        description="What worker processes give up before they open media: all files but their own, the network, other"
        " processes and programs. auto: as far as the machine allows; required: a service starts with all of it or not"
        " at all; off: nothing, for finding faults.",
    )
    scratch_dir: Path | None = Field(
        None, description="Folder for the files of running tasks; default: the system's temporary folder."
    )
    health_host: str = Field(
        "127.0.0.1",
        description="IPv4 address of the health port; 0.0.0.0 in a container. The local stack uses 127.0.0.1.",
    )
    projection_url: str = Field(
        "",
        pattern=r"^(https?://[^\s]+)?$",
        description="For clients: where the job-state projection answers, such as http://127.0.0.1:8181. `jobs` and"
        " `job` ask it instead of scanning the events. Empty: none runs.",
    )
    health_port: int = Field(0, ge=0, le=65535, description="Liveness, readiness, /metrics; 0: any free port.")

    pod_deletion_cost: bool = Field(
        False,
        description="In Kubernetes: keep the annotation controller.kubernetes.io/pod-deletion-cost of the service's own"
        " pod up to date, so that a scale-down removes idle pods first. Needs POD_NAME, POD_NAMESPACE and the right to"
        " patch pods.",
    )
    pod_name: str = Field(
        "",
        validation_alias=AliasChoices("POD_NAME", "pod_name"),
        description="Name of the pod, from the downward API (metadata.name).",
    )
    pod_namespace: str = Field(
        "",
        validation_alias=AliasChoices("POD_NAMESPACE", "pod_namespace"),
        description="Namespace of the pod, from the downward API (metadata.namespace).",
    )

    @field_validator("tenant")
    @classmethod
    def _check_tenant(cls, value: str) -> str:
        if value in RESERVED:
            raise ValueError(f"the name {value} is reserved")
        return value

    def topic(self, name: str) -> str:
        """The topic's full name."""
        return self.topic_prefix + name

    def topic_of(self, name: str, tenant: str) -> str:
        """Full name of the topic of the tenant's requests (interactive lane), cancel commands or events: the shared one
        ``name``, or one of its own with LIPSTAGE_TENANCY=topic."""
        own = self.tenancy == "topic" and tenant != UNVERIFIED
        return self.topic(tenant_topic(name, tenant) if own else name)

    def group(self, stage: str, engine: str | None = None) -> str:
        """Consumer group of a stage; infer has one per engine."""
        return f"{self.topic_prefix}lipstage.{stage}" + (f".{engine}" if engine else "")
