"""Parts of rendered objects that several tests look at."""

from collections.abc import Iterator
from typing import Any

from tests.helm.chart import Object

STAGE = "app.kubernetes.io/component"


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def named(objects: list[Object], kind: str, name: str) -> Object:
    found = [one for one in of_kind(objects, kind) if one["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} objects {kind} {name}"
    return found[0]


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Kind and name of an object that makes a pod, with the pod's metadata and spec."""
    for one in objects:
        where = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] == "Pod":
            yield where, one
        elif one["kind"] in ("Deployment", "Job"):
            yield where, one["spec"]["template"]
        elif one["kind"] == "CronJob":
            yield where, one["spec"]["jobTemplate"]["spec"]["template"]


def container(pod: Object) -> Object:
    (only,) = pod["spec"]["containers"]
    return dict(only)


def environment(pod: Object) -> dict[str, Any]:
    """Variables by name: the value, or what it is taken from."""
    listed = container(pod)["env"]
    names = [one["name"] for one in listed]
    assert len(names) == len(set(names)), "server-side apply refuses a variable that is listed twice"
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in listed}


def matches(selector: Object, labels: Object) -> bool:
    wanted = selector["matchLabels"]
    return wanted.items() <= labels.items()
