"""Which address each part of the stack gets."""

from shared.local import ports, store
from shared.local.errors import StackCode, StackError
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack


def assign(settings: LocalSettings, stack: Stack) -> None:
    """Decide addresses: configured ports as they are, earlier ones while they are free, else new free ones.

    Raises StackError (PORT_TAKEN) for a configured port that another program has.
    """
    stack.own_broker = bool(settings.kafka_bootstrap_servers)
    stack.own_store = bool(settings.s3_endpoint_url)
    stack.own_traces = bool(settings.otlp_endpoint)
    stack.bucket, stack.region = settings.bucket, settings.region
    needed: list[str] = []
    needed += [] if stack.own_broker else ["kafka", "controller"]
    needed += [] if stack.own_store else store.PORTS
    needed += [] if stack.own_traces else ["traces"]
    configured = {"kafka": settings.kafka_port, "s3": settings.s3_port, "traces": settings.traces_port}
    fixed = {name: port for name, port in configured.items() if port and name in needed}
    before = stack.ports
    in_use = before if stack.running else {}
    for name, port in fixed.items():
        if in_use.get(name) != port and not ports.is_free(port):
            raise StackError(StackCode.PORT_TAKEN, f"port {port} for {name} is taken by another program;"
                             f" set LIPSTAGE_{name.upper()}_PORT to another one, or to 0 for any")  # fmt: skip
    kept = {n: p for n, p in before.items() if n in needed and n not in fixed and p not in fixed.values()
            and (n in in_use or ports.is_free(p))}  # fmt: skip
    rest = [name for name in needed if name not in fixed and name not in kept]
    chosen = ports.pick(len(rest), {*fixed.values(), *kept.values()})
    stack.ports = fixed | kept | dict(zip(rest, chosen, strict=True))
    at = f"{ports.HOST}:{{}}"
    stack.bootstrap_servers = settings.kafka_bootstrap_servers or at.format(stack.ports["kafka"])
    stack.s3_endpoint_url = settings.s3_endpoint_url or "http://" + at.format(stack.ports["s3"])
    stack.otlp_endpoint = settings.otlp_endpoint or "http://" + at.format(stack.ports["traces"])
