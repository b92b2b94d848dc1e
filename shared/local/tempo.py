"""Grafana Tempo 3 beside the local stack: takes the services' spans, keeps them on the local object store."""

from urllib.parse import urlsplit

from shared.local import access_files, prometheus, store
from shared.local.configurations import configuration, digest
from shared.local.errors import StackCode, StackError
from shared.local.ports import HOST
from shared.local.program import Program
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack, credentials_of

NAME = "tempo"
COMMANDS = ("tempo",)
PORTS = ("tempo", "tempo.grpc", "tempo.otlp", "tempo.otlp-grpc")
READY = "/ready"
FAILED = StackCode.TEMPO_FAILED
WITHOUT = "spans go to the built-in trace receiver"
STOP_S = 20
"""It writes what it holds to its folder; the blocks go to the object store 30 s later, or after the next start."""


def program(settings: LocalSettings, stack: Stack) -> Program:
    """Tempo's program. Without a local Prometheus it makes no metrics of the spans."""
    data = settings.state / "tempo"
    data.mkdir(parents=True, exist_ok=True)
    file = configuration("tempo/tempo.yaml")
    s3 = urlsplit(stack.s3_endpoint_url)
    environment = {
        "TEMPO_HOST": HOST,
        "TEMPO_PORT": str(stack.ports["tempo"]),
        "TEMPO_GRPC_PORT": str(stack.ports["tempo.grpc"]),
        "TEMPO_OTLP_PORT": str(stack.ports["tempo.otlp"]),
        "TEMPO_OTLP_GRPC_PORT": str(stack.ports["tempo.otlp-grpc"]),
        "TEMPO_DATA": str(data),
        "TEMPO_BUCKET": bucket_name(stack),
        # Amazon S3 where no endpoint is set.
        "TEMPO_S3_ENDPOINT": s3.netloc or f"s3.{stack.region}.amazonaws.com",
        "TEMPO_S3_INSECURE": "true" if s3.scheme == "http" else "false",
        "AWS_REGION": stack.region,
        # One person waits: spans are searchable after a second, their metrics after five.
        "TEMPO_TRACE_IDLE": "1s",
        "TEMPO_METRICS_INTERVAL": "5s",
        **(
            {"TEMPO_REMOTE_WRITE_URL": f"{stack.url(prometheus.NAME)}/api/v1/write"}
            if prometheus.NAME in stack.programs
            else {"TEMPO_PROCESSORS": "[]"}
        ),
        "CONFIGURATION": digest(file),
    }
    argv = [str(stack.programs[NAME]), "-target=all", f"-config.file={file}", "-config.expand-env=true"]
    secrets = access_files.secrets_file(stack.state_dir, access_files.TEMPO) if stack.secure else None
    return Program(
        NAME, tuple(argv), environment, with_credentials=not stack.own_store, secrets=secrets, stop_seconds=STOP_S
    )


def bucket_name(stack: Stack) -> str:
    """The bucket of the traces: not that of the artifacts, whose lifecycle rules delete."""
    return f"{stack.bucket}-traces"


def ensure_bucket(stack: Stack) -> None:
    """Create the bucket: Tempo ends without one. Raises StackError (STORE_FAILED)."""
    from botocore.exceptions import BotoCoreError, ClientError

    from shared.storage.answers import status

    s3 = store.client(stack.s3_endpoint_url, credentials_of(stack), stack.region)
    name = bucket_name(stack)
    try:
        try:
            s3.head_bucket(Bucket=name)
        except ClientError as error:
            if status(error) != 404:
                raise
            s3.create_bucket(Bucket=name)
    except (BotoCoreError, ClientError) as error:
        raise StackError(StackCode.STORE_FAILED, f"the bucket {name} for traces: {error}") from error
