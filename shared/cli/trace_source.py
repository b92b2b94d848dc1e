"""Where the commands look traces up: in Tempo when one is named or runs here, else in the local trace receiver."""

from typing import TYPE_CHECKING

from shared.cli.errors import CliError, Unreachable
from shared.local.deployment import find_environment
from shared.local.settings import LocalSettings

if TYPE_CHECKING:
    from shared.client.traces import TraceSource

TEMPO_URL = "LIPSTAGE_TEMPO_URL"
NEITHER = "set LIPSTAGE_TEMPO_URL, the query address of a Tempo; the local stack keeps traces: `lipstage up`"


def source() -> "TraceSource":
    """The source of traces. Raises CliError when nothing keeps them, Unreachable, InvalidSettings."""
    settings = LocalSettings()
    environment = None if settings.tempo_url else find_environment(settings)
    if environment is None:
        if not settings.tempo_url and not settings.otlp_endpoint:
            raise Unreachable("no stack is running here", NEITHER)
        environment = {}
    tempo = settings.tempo_url or environment.get(TEMPO_URL, "")
    collector = settings.otlp_endpoint or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    return chosen(tempo, collector)


def chosen(tempo_url: str, collector_url: str) -> "TraceSource":
    """Tempo where it is named, else the receiver. Raises CliError when neither is."""
    from shared.client.tempo import Tempo
    from shared.client.trace_receiver import Receiver

    if tempo_url:
        return Tempo(tempo_url)
    if not collector_url:
        raise CliError("traces are not kept: no Tempo and no collector is named", NEITHER)
    return Receiver(collector_url)
