"""The configurations of Tempo, Prometheus and the Collector: accepted by the programs where found, and in shape."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from shared.local.settings import LocalSettings
from shared.telemetry.attributes import SPAN_ATTRIBUTES
from tests.conftest import ROOT
from tools import collector_keys

DEPLOY = ROOT / "deploy"
TEMPO, PROMETHEUS = DEPLOY / "tempo" / "tempo.yaml", DEPLOY / "prometheus" / "prometheus.yaml"
COLLECTOR = DEPLOY / "collector" / "collector.yaml"
TRACE_BYTES = 40_000
"""Of a render, as the comment in the Collector's configuration says."""
CACHED_TRACE_BYTES = 150
"""Of an entry of the cache of verdicts, estimated: the id, and what a list and a hash table add."""
DEFAULTS = re.compile(r"\$\{(?:env:)?\w+:-([^}]*)\}")


def load(file: Path) -> Any:
    """The file with the defaults of its variables."""
    return YAML(typ="safe").load(DEFAULTS.sub(r"\1", file.read_text()))


def hours(duration: str) -> int:
    """A duration in whole hours, as Tempo's configuration writes it."""
    number, unit = duration[:-1], duration[-1]
    assert unit == "h", duration
    return int(number)


def program(setting: str, command: str) -> str:
    """The program, or the test is skipped."""
    named = getattr(LocalSettings(), setting)
    found = str(named) if named else shutil.which(command)
    if found is None:
        pytest.skip(f"{command} is not on PATH, and LIPSTAGE_{setting.upper()} is not set")
    return found


def run(*command: object, **variables: str) -> str:
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60,
                            env=os.environ | variables, check=False)  # fmt: skip
    output = result.stdout + result.stderr
    assert result.returncode == 0, output
    return output


def test_tempo_accepts_its_configuration() -> None:
    tempo = program("tempo_bin", "tempo")
    run(tempo, f"-config.file={TEMPO}", "-config.expand-env=true", "-config.verify=true")


def test_prometheus_accepts_its_configuration_and_rules() -> None:
    output = run(program("promtool_bin", "promtool"), "check", "config", PROMETHEUS)
    assert "SUCCESS" in output


def test_collector_accepts_its_configuration(tmp_path: Path) -> None:
    run(program("collector_bin", "otelcol-contrib"), "validate", f"--config={COLLECTOR}", COLLECTOR_DATA=str(tmp_path))


def test_tempo_keeps_what_the_questions_need() -> None:
    tempo = load(TEMPO)
    assert tempo["storage"]["trace"]["backend"] == "s3"
    assert tempo["query_frontend"]["query_end_cutoff"] == "0s", "a search finds the render of a moment ago"
    assert tempo["overrides"]["defaults"]["metrics_generator"]["processors"] == ["span-metrics", "service-graphs"]
    generator = tempo["metrics_generator"]
    assert generator["processor"]["service_graphs"]["wait"] == "15m", "a CONSUMER span ends minutes after its PRODUCER"
    for processor in ("service_graphs", "span_metrics"):
        assert max(generator["processor"][processor]["histogram_buckets"]) == 600
    assert tempo["usage_report"]["reporting_enabled"] is False


def test_tempo_answers_questions_on_everything_it_keeps() -> None:
    tempo = load(TEMPO)
    kept = hours(tempo["backend_worker"]["compaction"]["block_retention"])
    for questions in ("search", "metrics"):
        assert hours(tempo["query_frontend"][questions]["max_duration"]) >= kept, questions


def test_dimensions_of_span_metrics_are_registered_and_bounded() -> None:
    dimensions = load(TEMPO)["metrics_generator"]["processor"]["span_metrics"]["dimensions"]
    assert set(dimensions) <= set(SPAN_ATTRIBUTES)
    assert not [name for name in dimensions if name.startswith(("tenant", "owner", "render.job"))]


def test_everything_listens_on_loopback_unless_told_otherwise() -> None:
    for file in (TEMPO, COLLECTOR):
        text = DEFAULTS.sub(r"\1", file.read_text())
        assert re.findall(r"(?:_address|endpoint|host): ([^:\s]+)", text), file
        others = [host for host in re.findall(r"(?:_address|endpoint|host): (?:http://)?([^:\s]+)", text)
                  if host != "127.0.0.1"]  # fmt: skip
        assert others == [], file


def test_collector_keeps_what_needs_explaining() -> None:
    """Section 3 of the issue: errors, retried, slow, drift above 100 ms, replays, 5 % of the rest."""
    collector = load(COLLECTOR)
    policies = {policy["type"]: [] for policy in collector["processors"]["tail_sampling"]["policies"]}
    for policy in collector["processors"]["tail_sampling"]["policies"]:
        policies[policy["type"]].append(policy[policy["type"]])
    assert policies["status_code"] == [{"status_codes": ["ERROR"]}]
    assert policies["boolean_attribute"] == [{"key": "render.slow", "value": True}]
    assert policies["probabilistic"] == [{"sampling_percentage": 5}]
    numbers = {policy["key"]: policy["min_value"] for policy in policies["numeric_attribute"]}
    assert numbers == {"attempt": 2, "replays": 1, "audio.drift_ms": 101}
    pipeline = collector["service"]["pipelines"]["traces"]["processors"]
    assert pipeline.index("redaction") < pipeline.index("tail_sampling"), "nothing is held that is not redacted"


def test_the_traces_that_the_collector_holds_fit_in_its_memory() -> None:
    processors = load(COLLECTOR)["processors"]
    sampling, limiter = processors["tail_sampling"], processors["memory_limiter"]
    assert sampling["decision_wait"] == "15m"
    assert sampling["num_traces"] >= 2 * 15 * 60 * sampling["expected_new_traces_per_sec"]
    caches = sum(sampling["decision_cache"].values()) * CACHED_TRACE_BYTES
    usable = (limiter["limit_mib"] - limiter["spike_limit_mib"]) << 20
    assert sampling["num_traces"] * TRACE_BYTES + caches <= usable


def test_collector_allows_exactly_what_the_services_export(monkeypatch: pytest.MonkeyPatch) -> None:
    assert collector_keys.rewritten(COLLECTOR.read_text()) == COLLECTOR.read_text(), (
        "run python -m tools.collector_keys"
    )
    redaction = load(COLLECTOR)["processors"]["redaction"]
    assert redaction["allow_all_keys"] is False
    assert {"service.name", "audio.drift_ms", "owner.hash"} <= set(redaction["allowed_keys"])


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("anna@example.org", True),
        ("AKIAIOSFODNN7EXAMPLE", True),
        ("FileNotFoundError: /home/" + "anna/me.jpg", True),  # In two parts: files here name no home folder.
        ("render.infer.puppet", False),
        ("b5bbebcbe3a44bccb874185f80214f50", False),
    ],
)
def test_collector_masks_values_of_users(value: str, masked: bool) -> None:
    blocked = load(COLLECTOR)["processors"]["redaction"]["blocked_values"]
    assert any(re.search(pattern, value) for pattern in blocked) == masked


def test_compose_mounts_files_that_exist() -> None:
    services = YAML(typ="safe").load((ROOT / "compose.yaml").read_text())["services"]
    mounts = [volume for service in services.values() for volume in service.get("volumes", [])
              if isinstance(volume, str) and volume.startswith("./")]  # fmt: skip
    assert len(mounts) >= 5
    assert not [mount for mount in mounts if not (ROOT / mount.split(":")[0]).exists()]


def test_compose_lets_tempo_make_metrics_only_where_prometheus_takes_them() -> None:
    text = (ROOT / "compose.yaml").read_text()
    tempo = YAML(typ="safe").load(text)["services"]["tempo"]["environment"]
    assert tempo["TEMPO_PROCESSORS"] == "${TEMPO_PROCESSORS:-[]}"
    head = text[: text.index("\nname:")]
    named = re.search(r"export TEMPO_PROCESSORS='(.*)'.*\n#   docker compose --profile dashboards up", head)
    assert named is not None
    assert f"${{TEMPO_PROCESSORS:-{named[1]}}}" in TEMPO.read_text()


def test_compose_and_local_stack_start_prometheus_with_the_same_switches() -> None:
    services = YAML(typ="safe").load((ROOT / "compose.yaml").read_text())["services"]
    switches = {"--web.enable-remote-write-receiver", "--enable-feature=exemplar-storage"}
    assert switches <= set(services["prometheus"]["command"])
    assert services["grafana"]["environment"]["PROMETHEUS_URL"] == "http://127.0.0.1:9090"
    for name in ("tempo", "prometheus", "grafana", "collector"):
        assert services[name]["network_mode"] == "host", "they listen on loopback, as the services do"
