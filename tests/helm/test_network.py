"""The network policy lets pods reach every address of the values, and nothing that no value names."""

from typing import Any

import pytest

from tests.helm.cases import merged, values, with_defaults
from tests.helm.chart import render
from tests.helm.objects import of_kind

ANYWHERE: list[Any] = []
POD_IDENTITY, INSTANCE = "169.254.170.23/32", "169.254.169.254/32"


def egress(**more: Any) -> list[tuple[list[Any], set[int]]]:
    """Peers and ports of each rule, but that of the name servers."""
    policy: dict[str, Any] = {"enabled": True, **more.pop("networkPolicy", {})}
    (found,) = of_kind(render(with_defaults(networkPolicy=policy, **more)), "NetworkPolicy")
    return [(rule.get("to", ANYWHERE), {one["port"] for one in rule["ports"]}) for rule in found["spec"]["egress"][1:]]


def test_ports_are_those_of_the_addresses() -> None:
    assert egress(
        kafka={"bootstrapServers": "a.kafka:9094,b.kafka:19094,c.kafka:9094"},
        telemetry={"endpoint": "http://collector:5318"},
    ) == [(ANYWHERE, {9094, 19094}), (ANYWHERE, {8333}), (ANYWHERE, {5318})]


@pytest.mark.parametrize(
    ("s3", "port"),
    [
        ({"endpointUrl": "http://store"}, 80),
        ({"endpointUrl": "https://store/path"}, 443),
        ({"endpointUrl": "https://store:9000/path"}, 9000),
        ({"endpointUrl": "http://[::1]:9000"}, 9000),
        ({"endpointUrl": "http://[fd00::1]"}, 80),
        ({"endpointUrl": "", "region": "eu-central-1"}, 443),
    ],
)
def test_port_of_the_object_store(s3: dict[str, str], port: int) -> None:
    assert (ANYWHERE, {port}) == egress(s3=s3)[1]


@pytest.mark.parametrize(
    ("protocol", "endpoint", "port"),
    [
        ("http/protobuf", "http://collector", 80),
        ("grpc", "http://collector", 443),
        ("grpc", "http://collector:4317", 4317),
    ],
)
def test_port_of_the_collector(protocol: str, endpoint: str, port: int) -> None:
    assert (ANYWHERE, {port}) == egress(telemetry={"endpoint": endpoint, "protocol": protocol})[2]


def test_listed_ports_are_added() -> None:
    """As of the pods that a Service of another port maps to; the address's own stays allowed."""
    peers: list[Any] = [{"namespaceSelector": {}}]
    policy = {"kafka": {"to": peers, "ports": [9093]}, "s3": {"ports": [8333, 8334]}}
    assert egress(networkPolicy=policy) == [(peers, {9092, 9093}), (ANYWHERE, {8333, 8334})]


def test_a_role_gets_its_credentials() -> None:
    """Also where the object store is the only peer of its rule."""
    store = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    found = egress(s3={"credentials": "identity"}, networkPolicy={"s3": {"to": store}})
    agents = [{"ipBlock": {"cidr": POD_IDENTITY}}, {"ipBlock": {"cidr": INSTANCE}}]
    assert found[1:] == [(store, {8333}), (agents, {80}), (ANYWHERE, {443})]


def test_gateway_is_reached_by_those_who_are_named_and_by_nobody_where_none_is() -> None:
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]
    for sources, expected in ((peers, [{8000, 9000}]), ([], [])):
        more = {"networkPolicy": {"enabled": True, "gatewayFrom": sources}}
        (policy,) = of_kind(render(merged(values("gateway"), more)), "NetworkPolicy")
        rules = [rule for rule in policy["spec"]["ingress"] if {8000, 9000} & {one["port"] for one in rule["ports"]}]
        assert [{one["port"] for one in rule["ports"]} for rule in rules] == expected
        assert all(rule["from"] == peers for rule in rules)


def test_tempo_is_reached_where_a_gateway_asks_it() -> None:
    tempo = {"tempoUrl": "http://tempo:3200", "keysSecret": {"name": "keys"}}
    assert (ANYWHERE, {3200}) in egress(gateway=tempo, stages={"gateway": {"enabled": True}})
    assert (ANYWHERE, {3200}) not in egress(gateway=tempo)


def test_without_a_role_nothing_is_reached_everywhere() -> None:
    (policy,) = of_kind(render(values("networkpolicy")), "NetworkPolicy")
    open_rules = [rule["ports"] for rule in policy["spec"]["egress"] if "to" not in rule]
    assert [[one["port"] for one in ports] for ports in open_rules] == [[4318], [443, 6443]]
