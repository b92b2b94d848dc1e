"""OpenTelemetry's OTLP exporters, over HTTP or gRPC: the only place that makes one.

Endpoint, headers, certificates, compression and time limit come from the variables of OpenTelemetry. What the exporters
would notice only while they export, or log and ignore, is an error here. Time limits are in seconds, as in every
OpenTelemetry SDK for Python.
"""

import logging
import os
from pathlib import Path
from typing import Any, get_args

from opentelemetry.sdk.trace.export import SpanExporter
from pydantic import ValidationError

from shared.telemetry.settings import Protocol, TelemetrySettings

EXPORT_S = 2.0
"""Limit for one batch, retries included; OTEL_EXPORTER_OTLP_TIMEOUT overrides it."""
LOGGERS = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
)


def is_configured() -> bool:
    """Whether the environment names a collector."""
    return _value("ENDPOINT") is not None


def exporter(endpoint: str | None = None, protocol: Protocol | None = None) -> SpanExporter:
    """An exporter to the collector at ``endpoint``, by default that of the environment; ``protocol`` likewise.

    ``endpoint`` is an address without a path, such as ``http://HOST:4318``. Raises ValueError for a protocol, file,
    compression or time limit that can't be used; it names the variable.
    """
    protocol = protocol or _protocol()
    timeout = _number("TIMEOUT", EXPORT_S)
    _check_files("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")
    for name in LOGGERS:  # One line per failed batch, not one per attempt.
        logging.getLogger(name).setLevel(logging.ERROR)
    return _grpc(endpoint, timeout) if protocol == "grpc" else _http(endpoint, timeout)


def _http(endpoint: str | None, timeout: float) -> SpanExporter:
    import requests
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    class Session(requests.Session):
        """Prefers the certificate that the exporter sets to REQUESTS_CA_BUNDLE, which otherwise wins."""

        def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
            verify = self.verify if verify is None and isinstance(self.verify, str) else verify
            return super().merge_environment_settings(url, proxies, stream, verify, cert)

    _compression("none", "gzip", "deflate")
    path = f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None
    credentials = os.environ.get("OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER") or os.environ.get(
        "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER"
    )
    return OTLPSpanExporter(endpoint=path, timeout=timeout, session=None if credentials else Session())


def _grpc(endpoint: str | None, timeout: float) -> SpanExporter:
    # Its C core writes to stderr as text, and handlers of forks concern no process of ours: workers are new programs.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    # Only when chosen: no other part of a service needs the C core.
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    names = {"none": grpc.Compression.NoCompression, "gzip": grpc.Compression.Gzip}
    return OTLPSpanExporter(endpoint=endpoint, timeout=timeout, compression=names[_compression(*names)])


def _protocol() -> Protocol:
    try:
        return TelemetrySettings(hash_key=None).traces_protocol
    except ValidationError as error:
        variable = str(error.errors(include_input=False)[0]["loc"][0])
        raise _unusable(variable, f"must be {' or '.join(get_args(Protocol))}") from None


def _variable(name: str) -> str | None:
    """The variable that sets it: that of spans alone, or that of all signals."""
    names = (f"OTEL_EXPORTER_OTLP_TRACES_{name}", f"OTEL_EXPORTER_OTLP_{name}")
    return next((one for one in names if os.environ.get(one)), None)


def _value(name: str) -> str | None:
    variable = _variable(name)
    return os.environ[variable] if variable else None


def _unusable(variable: str, reason: str) -> ValueError:
    return ValueError(f"{variable}={os.environ[variable][:60]}: {reason}")


def _number(name: str, default: float) -> float:
    variable = _variable(name)
    if variable is None:
        return default
    try:
        number = float(os.environ[variable])
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise _unusable(variable, "must be a number of seconds, more than 0")
    return number


def _check_files(*names: str) -> None:
    for name in names:
        variable = _variable(name)
        if variable and not (Path(os.environ[variable]).is_file() and os.access(os.environ[variable], os.R_OK)):
            raise _unusable(variable, "not a file that this process can read")


def _compression(*known: str) -> str:
    variable = _variable("COMPRESSION")
    value = os.environ[variable].strip().lower() if variable else "none"
    if variable and value not in known:
        raise _unusable(variable, f"must be one of {', '.join(known)} with this protocol")
    return value
