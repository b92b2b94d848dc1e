"""What a person reads about a variable that can't be used: its name, its value, what is allowed."""

import pytest

from shared.local.settings import LocalSettings
from shared.runtime.host.settings_models import all_models, service_models
from shared.runtime.settings_variables import allowed, assignment, check, variable

MODELS = (LocalSettings, *all_models())
NUMBERS = sorted({variable(model, name) for model in MODELS for name, field in model.model_fields.items()
                  if allowed(field)})  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("LIPSTAGE_SLOTS", "abc", "LIPSTAGE_SLOTS=abc: must be a whole number, 1 to 64"),
        ("LIPSTAGE_SLOTS", "65", "LIPSTAGE_SLOTS=65: must be a whole number, 1 to 64"),
        (
            "LIPSTAGE_MAX_SPEECH_S",
            "99999",
            "LIPSTAGE_MAX_SPEECH_S=99999: must be a number, more than 0.2, at most 1800",
        ),
        ("LIPSTAGE_LIP_CHECK", "nan", "LIPSTAGE_LIP_CHECK=nan: must be a number, 0 to 1"),
        (
            "LIPSTAGE_X264_PRESET",
            "placebo",
            "LIPSTAGE_X264_PRESET=placebo: must be one of ultrafast, superfast, veryfast,",
        ),
        ("LIPSTAGE_TRUST_TRACE_CONTEXT", "maybe", "LIPSTAGE_TRUST_TRACE_CONTEXT=maybe: must be true or false"),
        ("LIPSTAGE_SONIC_MEMORY_MB", "1", "LIPSTAGE_SONIC_MEMORY_MB=1: must be a whole number, 512 to 16777216"),
        ("LIPSTAGE_INPUT_BUCKETS", "inputs", "LIPSTAGE_INPUT_BUCKETS=inputs: must be JSON"),
        ("LIPSTAGE_BUCKET", "UPPER", "LIPSTAGE_BUCKET=UPPER: "),
        ("LIPSTAGE_KAFKA_PORT", "1\x1b[31m", "LIPSTAGE_KAFKA_PORT=1\\x1b[31m: must be a whole number, 0 to 65535"),
        ("LIPSTAGE_SLOTS", "9" * 200, f"LIPSTAGE_SLOTS={'9' * 57}...: "),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str
) -> None:
    monkeypatch.setenv(name, value)
    (found,) = check(MODELS)
    assert found.startswith(line)


def test_every_wrong_variable_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIPSTAGE_SLOTS", "LIPSTAGE_MAX_SPEECH_S", "LIPSTAGE_X264_THREADS", "LIPSTAGE_SONIC_DTYPE"):
        monkeypatch.setenv(name, "abc")
    assert [line.partition("=")[0] for line in check(MODELS)] == [
        "LIPSTAGE_SLOTS",
        "LIPSTAGE_MAX_SPEECH_S",
        "LIPSTAGE_X264_THREADS",
        "LIPSTAGE_SONIC_DTYPE",
    ]


@pytest.mark.parametrize("value", ["abc", "", "inf", "nan", "-1", "1e300", "99999999999999999999"])
@pytest.mark.parametrize("name", NUMBERS)
def test_no_variable_takes_a_value_without_limit(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Words, infinities and numbers that no program can use are refused before anything starts."""
    monkeypatch.setenv(name, value)
    assert [line.startswith(f"{name}=") for line in check(MODELS)] == ([True] if value else []), "empty is unset"


@pytest.mark.parametrize("name", sorted({variable(model, name) for model in MODELS for name in model.model_fields}))
def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name, raising=False)
    unset = [model().model_dump() for model in MODELS]
    monkeypatch.setenv(name, "")
    assert [model().model_dump() for model in MODELS] == unset


@pytest.mark.parametrize(("name", "value"), [("LIPSTAGE_ENGINES", " , "), ("LIPSTAGE_INPUT_BUCKETS", "{}")])
def test_a_list_with_nothing_in_it_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert [line.startswith(f"{name}={value}: ") for line in check(MODELS)] == [True]


def test_a_service_reads_its_own_variables_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTAGE_MAX_SPEECH_S", "abc")
    monkeypatch.setenv("LIPSTAGE_SONIC_DTYPE", "abc")
    assert [len(check(service_models(*one))) for one in (("audio", None), ("face", None), ("infer", "sonic"))] == [
        1,
        0,
        1,
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("http://user:hunter2@host:1/a", "http://host:1/a"),
        ("https://hunter2@host", "https://host"),
        ("http://user:hun/ter2 @x@host", "http://host"),
        ("user:hunter2@host:9092", "host:9092"),
        ("http://host/a?token=hunter2", "http://host/a?..."),
        ("http://host:1,host:2", "http://host:1,host:2"),
    ],
)
def test_a_password_in_an_address_is_not_shown(monkeypatch: pytest.MonkeyPatch, value: str, shown: str) -> None:
    assert assignment("ADDRESS", {"ADDRESS": value}) == f"ADDRESS={shown}"
    for name in ("AWS_ENDPOINT_URL_S3", "OTEL_EXPORTER_OTLP_ENDPOINT", "KAFKA_BOOTSTRAP_SERVERS"):
        monkeypatch.setenv(name, value)
    lines = check((LocalSettings,))
    assert "hunter2" not in "".join(lines)
    assert not lines or len(lines) == 2 + ("@" in value)


def test_the_value_of_a_secret_is_not_shown() -> None:
    environment = {"LIPSTAGE_CACHE_KEY": "the secret", "LIPSTAGE_CACHE_KEY_FILE": "/a/file"}
    assert assignment("LIPSTAGE_CACHE_KEY", environment) == "LIPSTAGE_CACHE_KEY"
    assert assignment("LIPSTAGE_CACHE_KEY_FILE", environment) == "LIPSTAGE_CACHE_KEY_FILE=/a/file"
