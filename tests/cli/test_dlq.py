"""`lipstage dlq`: what it prints, and its exit codes."""

import json
from pathlib import Path

import pytest

from shared import __version__
from shared.client.connection import Connection
from shared.messages.codes import Code
from tests.cli.conftest import Lipstage
from tests.client.dead_letters.making import OLD, Made, jobs_sent, send, sent
from tests.client.services import Services


@pytest.fixture
def four(deployment: Connection) -> Connection:
    send(
        deployment,
        [
            Made("j-store", fields={"department": "news", "tenant": "acme"}),
            Made("j-poison", code=Code.POISON, failure_class="poison", version=__version__, value=b"\xff{", key=b"k"),
            Made("j-crash", "render.infer.puppet", "infer", Code.CRASH_LOOP, "crash_loop", headers=[("x", b"1")]),
            Made("j-request", "render.requests", "audio", Code.INTERNAL, exception="KeyError"),
        ],
    )
    return deployment


def ids(lipstage: Lipstage, *filters: object) -> set[str]:
    lines = lipstage("dlq", "ls", "--json", *filters).out.splitlines()
    return {str(json.loads(line)["code"]) for line in lines}


def test_ls_lists_and_filters(lipstage: Lipstage, four: Connection) -> None:
    everything = {"STORE_UNAVAILABLE", "POISON", "CRASH_LOOP", "INTERNAL"}
    for filters, expected in (
        ((), everything),
        (("--stage", "face"), {"STORE_UNAVAILABLE", "POISON"}),
        (("--stage", "face", "--stage", "infer"), everything - {"INTERNAL"}),
        (("--code", "crash_loop"), {"CRASH_LOOP"}),
        (("--class", "poison"), {"POISON"}),
        (("--tenant", "acme"), {"STORE_UNAVAILABLE"}),
        (("--department", "news"), {"STORE_UNAVAILABLE"}),
        (("--version", OLD), everything - {"POISON"}),
        (("--job", "j-request"), {"INTERNAL"}),
        (("--header", "x=1"), {"CRASH_LOOP"}),
        (("--header", "__dlq.errors.stage=audio"), {"INTERNAL"}),
        (("--exception", "^Key"), {"INTERNAL"}),
        (("--since", "1h"), everything),
        (("--until", "1h"), set()),
        (("--state", "replayed"), set()),
        (("--state", "new", "--code", "POISON", "--stage", "infer"), set()),
    ):
        assert ids(lipstage, *filters) == expected, filters
    shown = lipstage("dlq", "ls")
    assert shown.out.splitlines()[0].split()[:5] == ["ID", "TIME", "STAGE", "CODE", "STATE"]
    assert "4 dead letters, oldest 20" in shown.out
    assert lipstage("dlq", "ls", "--limit", 1).out.count("\n") == 3
    grouped = [json.loads(line) for line in lipstage("dlq", "ls", "--group-by", "stage", "--json").out.splitlines()]
    assert [(one["stage"], one["count"]) for one in grouped] == [("face", 2), ("audio", 1), ("infer", 1)]
    assert "4 dead letters" in lipstage("dlq", "ls", "--group-by", "tenant").out


@pytest.mark.parametrize(
    "arguments",
    [
        ("ls", "--group-by", "colour"),
        ("ls", "--state", "lost"),
        ("ls", "--stage", "fce"),
        ("ls", "--code", "POISSON"),
        ("ls", "--class", "deadly"),
        ("ls", "--exception", "("),
        ("ls", "--header", "x"),
        ("ls", "--since", "soon"),
        ("show", "0-1"),
        ("replay", "zero"),
        ("replay", "--patch", "seed"),
        ("replay", "--rate", "0"),
        ("replay", "--extend-deadline", "late"),
        ("replay", "--transform", "missing.py"),
        ("discard", "--reason", " "),
        ("discard",),
    ],
)
def test_wrong_use_ends_with_2(lipstage: Lipstage, deployment: Connection, arguments: tuple[str, ...]) -> None:
    assert lipstage("dlq", *arguments).code == 2


def test_commands_end_with_3_where_nothing_answers(lipstage: Lipstage, nowhere: None) -> None:
    for arguments in (("ls",), ("show", "0:0"), ("replay",), ("park",)):
        assert lipstage("dlq", *arguments).code == 3, arguments


def test_show_explains_a_dead_letter(lipstage: Lipstage, four: Connection, services: Services) -> None:
    (store,) = (json.loads(line)["id"] for line in lipstage("dlq", "ls", "--json", "--job", "j-store").out.splitlines())
    four.s3.put_object(Bucket=four.storage_settings.input_buckets["inputs"], Key="default/x", Body=b"1")
    shown = lipstage("dlq", "show", store)
    assert shown.code == 0
    for text in (
        "STORE_UNAVAILABLE (failed) after 5 attempts",
        "j-store of the tenant acme",
        "  line 2",
        '"submitted_ms": 1700000000000',
        "all present: portrait, speech",
        "trace    " + "1" * 32,
    ):
        assert text in shown.out, text
    assert "lipstage trace j-store --tenant acme" in shown.err
    assert f"lipstage dlq replay {store} --go" in shown.err
    assert lipstage("dlq", "replay", store, "--go").code == 0
    services.event("failed", "j-store", tenant="acme", stage="face", code="INTERNAL", message="m", replays=1)
    again = Made("j-store", fields={"tenant": "acme"}, headers=[("lipstage-replay-count", b"1")])
    send(four, [again])
    body = lipstage("dlq", "show", store, "--json").json
    assert (body["state"], body["ended"], len(body["history"])) == ("replayed", "failed", 2)
    assert body["what_was_done"]["target"]["topic"].endswith("render.face")
    assert body["objects"][0]["available"] == "present"
    assert lipstage("dlq", "show", "0:99999").code == 2
    newest = max(body["history"], key=lambda one: int(one["time_ms"]))["id"]
    assert f"failed again since then: see `lipstage dlq show {newest}`" in lipstage("dlq", "show", store).err
    for command in ("replay", "park", "export", "discard"):
        more = {"export": ("-o", "-"), "discard": ("--reason", "x")}.get(command, ())
        assert lipstage("dlq", command, "0:99999", *more).code == 2, command


def test_replay_is_a_dry_run_unless_go(lipstage: Lipstage, four: Connection) -> None:
    plan = lipstage("dlq", "replay")
    assert plan.code == 0
    assert "3      to send" in plan.out
    assert "1      refused: would fail the same way" in plan.out
    assert "nothing was sent: add --go" in plan.err
    assert sent(four, "render.face") == []
    done = lipstage("dlq", "replay", "--go", "--limit", 1, "--stage", "face")
    assert done.code == 4, "one of the two is refused"
    assert "sent 1, parked 0, failed 0, refused 1" in done.out
    assert jobs_sent(four, "render.face") == ["j-store"]
    assert lipstage("dlq", "replay", "--go", "--stage", "infer").code == 0
    body = lipstage("dlq", "replay", "--json", "--go", "--by", "me").json
    assert (body["sent"], body["refused"], body["plan"]["counts"]["replayed_already"]) == (1, 1, 2)
    runs = [json.loads(m.value()) for m in sent(four, "render.replays") if m.key().startswith(b"audit/")]
    assert runs[-1]["by"] == "me" or any(run["by"] == "me" for run in runs)
    assert lipstage("dlq", "replay", "--go", "--state", "replayed").code == 0, "nothing is left"


def test_a_transform_shows_its_changes_first(lipstage: Lipstage, four: Connection, tmp_path: Path) -> None:
    path = tmp_path / "seed.py"
    path.write_text(
        "def transform(record):\n"
        "    if record['failure']['code'] == 'POISON':\n"
        "        return None\n"
        "    body = record['value']\n"
        "    body.get('request', body).setdefault('params', {})['seed'] = 9\n"
        "    return record\n"
    )
    plan = lipstage("dlq", "replay", "--transform", path)
    assert plan.out.count('+      "seed": 9') + plan.out.count('+        "seed": 9') == 3
    assert "left out by the transform" in plan.out
    assert lipstage("dlq", "replay", "--transform", path, "--go").code == 0
    assert b'"seed":9' in sent(four, "render.face")[0].value()


def test_park_and_discard(lipstage: Lipstage, four: Connection) -> None:
    assert "1 dead letter to park" in lipstage("dlq", "park", "--stage", "infer").out
    assert sent(four, "render.parked") == []
    assert lipstage("dlq", "park", "--stage", "infer", "--reason", "later", "--go").code == 0
    assert len(sent(four, "render.parked")) == 1
    assert lipstage("dlq", "discard", "--code", "POISON", "--reason", "test data", "--go").code == 0
    groups = lipstage("dlq", "ls", "--group-by", "state", "--json").out.splitlines()
    assert {(json.loads(one)["state"], json.loads(one)["count"]) for one in groups} == {
        ("new", 2),
        ("parked", 1),
        ("discarded", 1),
    }
    assert "0 dead letters parked; parked before: 1" in lipstage("dlq", "park", "--stage", "infer", "--go").out
    body = lipstage("dlq", "replay", "--json").json
    assert (body["plan"]["to_send"], body["plan"]["counts"]["discarded"]) == (2, 1)
    assert ids(lipstage, "--state", "parked") == {"CRASH_LOOP"}


def test_export_and_import_keep_every_byte(
    lipstage: Lipstage, four: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = [("x", b"\xff"), ("x", None), ("", b""), ("é", "é".encode())]
    send(four, [Made("odd", value=b"", key=b"\x00\xff", headers=odd)])
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    assert lipstage("dlq", "export", "-o", first).code == 0
    assert lipstage("dlq", "import", first).code == 4, "they are there already"
    assert len(sent(four, "render.dlq")) == 5
    before = {(m.key(), m.value(), tuple(m.headers())) for m in sent(four, "render.dlq")}
    assert lipstage("dlq", "import", first, "--force").code == 0
    messages = sent(four, "render.dlq")
    assert len(messages) == 10
    assert {(m.key(), m.value(), tuple(m.headers())) for m in messages} == before
    (new,) = {m.timestamp()[1] for m in messages if m.key() == b"\x00\xff"} - {
        json.loads(line)["time_ms"] for line in first.read_text().splitlines()
    }
    assert new
    assert lipstage("dlq", "export", "-o", second, "--code", "POISON").code == 0
    lines = [json.loads(line) for line in second.read_text().splitlines()]
    assert len({(line["key"], line["value"], json.dumps(line["headers"])) for line in lines}) == 1
    second.write_text("not JSON\n")
    assert lipstage("dlq", "import", second).code == 2
