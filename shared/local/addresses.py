"""Assigns an address to each part of the stack."""

import re

from shared.local import observability, ports, store
from shared.local.errors import StackCode, StackError
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack
from shared.storage.client import FROM_ENVIRONMENT
from shared.storage.settings import StorageSettings

THIS_MACHINE = re.compile(r"(?<![^/,])(localhost|\[::1\])(?=:|/|,|$)")


def is_own(named: str, recorded: str, was_own: bool) -> bool:
    """Whether the address in the environment is that of a part of the user's own.

    False for the recorded address of the local part, which `lipstage config --env` exports.
    """
    return bool(named) and (was_own or _normal(named) != _normal(recorded))


def _normal(address: str) -> str:
    """The address with one name for this machine."""
    return THIS_MACHINE.sub(ports.HOST, address.strip().rstrip("/").lower())


def mark_own(settings: LocalSettings, stack: Stack) -> None:
    """Record which parts are the user's own; their addresses become the stack's."""
    stack.own_broker = is_own(settings.kafka_bootstrap_servers, stack.bootstrap_servers, stack.own_broker)
    stack.own_store = is_own(settings.s3_endpoint_url, stack.s3_endpoint_url, stack.own_store)
    # The built-in receiver's address, exported before Tempo took over, is no collector of the user's own either.
    receiver = _normal(settings.otlp_endpoint) == _normal(stack.traces_url)
    stack.own_traces = not receiver and is_own(settings.otlp_endpoint, stack.otlp_endpoint, stack.own_traces)
    if stack.own_broker:
        stack.bootstrap_servers = settings.kafka_bootstrap_servers
    if stack.own_store:
        stack.s3_endpoint_url = settings.s3_endpoint_url
    if stack.own_traces:
        stack.otlp_endpoint = settings.otlp_endpoint
    stack.bucket = StorageSettings().bucket
    stack.region = region_of_own_store(settings) if stack.own_store else settings.region


def region_of_own_store(settings: LocalSettings) -> str:
    """The region that services find for an object store of the user's own, in AWS_DEFAULT_REGION or a profile, too."""
    if "region" in settings.model_fields_set:
        return settings.region
    from botocore.exceptions import ProfileNotFound

    try:
        return FROM_ENVIRONMENT.signing_region()
    except ProfileNotFound:  # The client of the store reports it.
        return settings.region


def assign(settings: LocalSettings, stack: Stack) -> None:
    """Assign addresses: the configured ports, else the previous ones while they are free, else new free ones.

    Raises StackError (PORT_TAKEN) for a configured port that another program uses.
    """
    mark_own(settings, stack)
    observability.assign(settings, stack)
    needed: list[str] = []
    needed += [] if stack.own_broker else ["kafka", "controller"]
    needed += [] if stack.own_store else store.PORTS
    needed += [] if stack.own_traces else ["traces"]
    for name in stack.programs:
        needed += observability.PARTS[name].PORTS
    configured = {"kafka": settings.kafka_port, "s3": settings.s3_port, "traces": settings.traces_port,
                  "tempo": settings.tempo_port, "prometheus": settings.prometheus_port,
                  "grafana": settings.grafana_port}  # fmt: skip
    fixed = {name: port for name, port in configured.items() if port and name in needed}
    previous = stack.ports
    in_use = previous if stack.running else {}
    for name, port in fixed.items():
        if in_use.get(name) != port and not ports.is_free(port):
            raise StackError(StackCode.PORT_TAKEN, f"port {port} for {name} is taken by another program;"
                             f" set LIPSTAGE_{name.upper()}_PORT to another, or to 0 for any free one")  # fmt: skip
    kept = {n: p for n, p in previous.items() if n in needed and n not in fixed and p not in fixed.values()
            and (n in in_use or ports.is_free(p))}  # fmt: skip
    unassigned = [name for name in needed if name not in fixed and name not in kept]
    health = [record.health_port for record in stack.services]
    chosen = ports.pick(len(unassigned), {*fixed.values(), *kept.values(), *health})
    stack.ports = fixed | kept | dict(zip(unassigned, chosen, strict=True))
    if not stack.own_broker:
        stack.bootstrap_servers = f"{ports.HOST}:{stack.ports['kafka']}"
    if not stack.own_store:
        stack.s3_endpoint_url = f"http://{ports.HOST}:{stack.ports['s3']}"
    if not stack.own_traces:
        receiver = "tempo.otlp" if "tempo" in stack.programs else "traces"
        stack.otlp_endpoint = f"http://{ports.HOST}:{stack.ports[receiver]}"
