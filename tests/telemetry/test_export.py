"""Export over both protocols of OTLP, against real receivers: addresses, headers, TLS, compression, wrong variables."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.client import Client, Deployment
from shared.client.errors import InvalidDeployment
from shared.runtime.settings import RuntimeSettings
from shared.telemetry import otlp
from shared.telemetry.tracing import Tracing, setup
from tests.telemetry.collectors import HOST, Authority, Collector, grpc_collector, http_collector

ROOT = Path(__file__).resolve().parents[2]
PROTOCOLS = ("http/protobuf", "grpc")
EXPORT = "OTEL_EXPORTER_OTLP_"


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "localhost,127.0.0.1")
    # Longer than that of a service: client and receiver share this process, and a batch is sent once.
    monkeypatch.setenv(EXPORT + "TIMEOUT", "30")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@contextmanager
def collecting(protocol: str, folder: Path, tls: Authority | None = None) -> Iterator[Collector]:
    with grpc_collector(tls) if protocol == "grpc" else http_collector(folder, tls) as collector:
        yield collector


def export(tracing: Tracing) -> None:
    """One span with a value that must not leave, exported before it returns."""
    with tracing.tracer.start_as_current_span("load_audio") as span:
        span.set_attributes({"audio.codec": "pcm_s16le", "path": "/home/canary/x.wav"})
    tracing.provider.force_flush()
    tracing.shutdown()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_spans_arrive_redacted(protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting(protocol, tmp_path) as collector:
        monkeypatch.setenv(EXPORT + "PROTOCOL", protocol)
        monkeypatch.setenv(EXPORT + "ENDPOINT", f"http://{HOST}:{collector.port}")
        monkeypatch.setenv(EXPORT + "HEADERS", "x-scope-orgid=tenant-1,authorization=Basic%20abc")
        export(setup("audio", "1"))
        assert [(span.name, span.service, span.attributes) for span in collector.spans] == [
            ("load_audio", "audio", {"audio.codec": "pcm_s16le"})
        ]
        sent = collector.headers[0]
        assert (sent["x-scope-orgid"], sent["authorization"]) == ("tenant-1", "Basic abc")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_variables_of_spans_alone_win(protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting(protocol, tmp_path) as collector:
        other = next(one for one in PROTOCOLS if one != protocol)
        path = "" if protocol == "grpc" else "/v1/traces"
        for name, general, traces in (
            ("PROTOCOL", other, protocol),
            ("ENDPOINT", "http://127.0.0.1:9", f"http://{HOST}:{collector.port}{path}"),
            ("HEADERS", "x-of=all", "x-of=spans"),
            ("COMPRESSION", "none", "gzip"),
        ):
            monkeypatch.setenv(EXPORT + name, general)
            monkeypatch.setenv(f"{EXPORT}TRACES_{name}", traces)
        export(setup("audio", "1"))
        assert collector.names == ["load_audio"]
        assert collector.headers[0]["x-of"] == "spans"
        if protocol != "grpc":  # A gRPC server decompresses before it shows a call.
            assert collector.headers[0]["content-encoding"] == "gzip"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_endpoint_of_the_caller_wins(protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXPORT + "PROTOCOL", protocol)
    monkeypatch.setenv(EXPORT + "ENDPOINT", "http://127.0.0.1:9")
    with collecting(protocol, tmp_path) as collector:
        export(setup("cli", "1", endpoint=f"http://{HOST}:{collector.port}/"))
        assert collector.names == ["load_audio"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tls_with_certificates_of_both_sides(
    protocol: str, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EXPORT + "PROTOCOL", protocol)
    with collecting(protocol, tmp_path, authority) as collector:
        monkeypatch.setenv(EXPORT + "ENDPOINT", f"https://{HOST}:{collector.port}")
        for name, file in (("CERTIFICATE", "ca.pem"), ("CLIENT_KEY", "client.key"),
                           ("CLIENT_CERTIFICATE", "client.pem")):  # fmt: skip
            monkeypatch.setenv(EXPORT + name, authority.file(file))
        # requests prefers it to the certificate that it is given.
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority.file("client.pem"))
        export(setup("audio", "1"))
        assert collector.names == ["load_audio"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_collector_that_another_authority_certified_gets_nothing(
    protocol: str, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other")
    monkeypatch.setenv(EXPORT + "PROTOCOL", protocol)
    monkeypatch.setenv(EXPORT + "TIMEOUT", "0.5")
    with collecting(protocol, tmp_path, authority) as collector:
        monkeypatch.setenv(EXPORT + "ENDPOINT", f"https://{HOST}:{collector.port}")
        monkeypatch.setenv(EXPORT + "CERTIFICATE", stranger.file("ca.pem"))
        export(setup("audio", "1"))
        assert collector.spans == []


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"PROTOCOL": "http/json"}, "OTEL_EXPORTER_OTLP_PROTOCOL=http/json: must be http/protobuf or grpc"),
        ({"TRACES_PROTOCOL": "GRPC"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=GRPC: must be http/protobuf or grpc"),
        ({"COMPRESSION": "br"}, "OTEL_EXPORTER_OTLP_COMPRESSION=br: must be one of none, gzip, deflate with"),
        (
            {"COMPRESSION": "deflate", "PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_COMPRESSION=deflate: must be one of none, gzip with this protocol",
        ),
        ({"TRACES_TIMEOUT": "soon"}, "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=soon: must be a number of seconds"),
        ({"CERTIFICATE": "/no/ca.pem"}, "OTEL_EXPORTER_OTLP_CERTIFICATE=/no/ca.pem: not a file that this process"),
        ({"PROTOCOL": "grpc", "CLIENT_KEY": "/no"}, "OTEL_EXPORTER_OTLP_CLIENT_KEY=/no: not a file that this process"),
    ],
)
def test_variable_that_cannot_be_used_is_named_at_the_start(
    variables: dict[str, str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(EXPORT + name, value)
    with pytest.raises(ValueError, match=line):
        otlp.exporter("http://127.0.0.1:9")
    with pytest.raises(InvalidDeployment, match=line):
        _ = Client(Deployment(RuntimeSettings(), otlp_endpoint="http://127.0.0.1:9")).connection.tracing


def test_service_with_a_wrong_protocol_does_not_start() -> None:
    environment = {**os.environ, EXPORT + "PROTOCOL": "kafka"}
    command = [sys.executable, "-m", "shared.runtime", "relay"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert ran.returncode == 2
    assert "OTEL_EXPORTER_OTLP_PROTOCOL = kafka: must be one of http/protobuf, grpc" in ran.stdout + ran.stderr


def test_grpc_is_imported_only_when_it_is_chosen() -> None:
    program = (
        "import sys; from shared.telemetry.tracing import setup; "
        "setup('audio', '1', endpoint='http://127.0.0.1:9').shutdown(); print('grpc' in sys.modules)"
    )
    for protocol, expected in (("http/protobuf", "False"), ("grpc", "True")):
        environment = {**os.environ, EXPORT + "PROTOCOL": protocol}
        ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, cwd=ROOT)
        assert (ran.stdout.strip(), ran.stderr) == (expected, "")
