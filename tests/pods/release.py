"""One release of the chart on podman: hooks, Deployments, upgrade."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.helm import chart
from tests.pods.deployment import Deployment
from tests.pods.pod import Object, Pod
from tests.pods.podman import Podman

HOOK, WEIGHT = "helm.sh/hook", "helm.sh/hook-weight"
NAMESPACE = "video"


class Release:
    """What `helm install` makes of values, on one network."""

    def __init__(self, podman: Podman, network: str, name: str, secrets: Mapping[str, Mapping[str, str]]) -> None:
        self.name = name
        self.deployments: dict[str, Deployment] = {}
        self._podman, self._network, self._secrets = podman, network, secrets
        self._config_maps: list[Object] = []

    def install(self, values: Object) -> None:
        """Run the hooks to their end, start every Deployment with its replicas, and wait until all are ready."""
        rendered = self._prepare(values)
        self.deployments = {one["metadata"]["name"]: Deployment(one, self._make) for one in rendered}
        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(d.scale, d.rendered["spec"]["replicas"]) for d in self.deployments.values()]:
                done.result()

    def upgrade(self, values: Object) -> None:
        """Run the hooks, and roll out every Deployment, all at the same time."""
        rendered = {one["metadata"]["name"]: one for one in self._prepare(values)}
        assert rendered.keys() == self.deployments.keys()
        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(self.deployments[name].roll_out, one) for name, one in rendered.items()]:
                done.result()

    def deployment(self, component: str) -> Deployment:
        """The Deployment of audio, infer-puppet, ..."""
        return self.deployments[f"{self.name}-{component}"]

    def pods(self) -> list[Pod]:
        """Those that run."""
        return [pod for deployment in self.deployments.values() for pod in deployment.pods]

    def ended(self) -> list[Pod]:
        """Those that were ended, once they are."""
        return [pod for deployment in self.deployments.values() for pod in deployment.await_ended()]

    def test(self, values: Object) -> int:
        """The exit code of the pod of `helm test`."""
        (pod,) = [one for one in self._render(values) if one["kind"] == "Pod" and "test" in _hook(one)]
        return self._finish(pod["metadata"]["name"], {"metadata": pod["metadata"], "spec": pod["spec"]})

    def uninstall(self) -> None:
        """End all pods and delete them."""
        for deployment in self.deployments.values():
            deployment.scale(0)
        for pod in self.ended():
            pod.remove()

    def _render(self, values: Object) -> list[Object]:
        return chart.render(values, name=self.name, namespace=NAMESPACE)

    def _prepare(self, values: Object) -> list[Object]:
        """Take the configuration and run the hooks in the order of their weights; returns the Deployments."""
        objects = self._render(values)
        self._config_maps = [one for one in objects if one["kind"] == "ConfigMap"]
        jobs = [one for one in objects if one["kind"] == "Job" and "pre-upgrade" in _hook(one)]
        for job in sorted(jobs, key=lambda job: int(job["metadata"]["annotations"][WEIGHT])):
            assert self._finish(job["metadata"]["name"], job["spec"]["template"]) == 0
        return [one for one in objects if one["kind"] == "Deployment"]

    def _finish(self, name: str, template: Object) -> int:
        """Run a pod to its end; prints its log if that is not 0."""
        pod = self._make(name, template)
        code = pod.await_exit()
        if code != 0:
            print(pod.log())
        pod.remove()
        return code

    def _make(self, name: str, template: Object) -> Pod:
        pod = Pod(self._podman, name, template)
        needed = json.dumps(template["spec"]["volumes"])
        maps = [one for one in self._config_maps if json.dumps(one["metadata"]["name"]) in needed]
        pod.start(self._network, maps, NAMESPACE, self._secrets)
        return pod


def _hook(rendered: Object) -> Any:
    return rendered["metadata"].get("annotations", {}).get(HOOK, "")
