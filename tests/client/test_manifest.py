"""Batch manifests as people and spreadsheets write them: read as meant, or refused with every fault at once."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.client import InvalidManifest, InvalidRequest, JobSpec, manifest
from shared.client.local_files import FileLimits
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest

LIMITS = FileLimits(1, 1)


@pytest.fixture(autouse=True)
def media(tmp_path: Path) -> None:
    for name in ("portrait.png", "speech.wav", "p ü.png", "two\n\n# lines.png"):
        (tmp_path / name).write_bytes(b"not opened by a client")


def read(path: Path, content: str | bytes, **defaults: object) -> list[JobSpec]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return manifest.read(path, json.loads(json.dumps(defaults)), LIMITS, "batch-1")


def request(spec: JobSpec) -> RenderRequest:
    ref = InputRef(key="default/x")
    return spec.request(ref, ref)


def faults(path: Path, content: str | bytes) -> tuple[str, ...]:
    with pytest.raises(InvalidManifest) as raised:
        read(path, content)
    assert str(path) in raised.value.message
    return raised.value.details


def test_csv_rows_become_requests(tmp_path: Path) -> None:
    first, second = read(
        tmp_path / "jobs.csv",
        "portrait,speech,job_id,dynamic_scale,labels.take,blinks,params.face,trim\n"
        'portrait.png,speech.wav,a,1.5,7,false,"[0, 0, 10, 10]",TRUE\n'
        "portrait.png,speech.wav,,,,,,\n",
        lane="bulk",
    )
    asked = request(first)
    assert asked.job_id == "a"
    assert asked.params.dynamic_scale == 1.5
    assert asked.params.face == (0, 0, 10, 10)
    assert asked.params.trim is True, "as spreadsheets write it"
    assert asked.labels == {"take": "7"}, "a label is text, whatever it looks like"
    assert asked.engine_params == {"blinks": False}
    assert asked.lane == "bulk"
    assert asked.batch is not None
    assert (asked.batch.id, asked.batch.index, asked.batch.total) == ("batch-1", 0, 2)
    other = request(second)
    assert other.batch is not None
    assert other.batch.index == 1
    assert other.params.dynamic_scale == 1.0


def test_csv_and_jsonl_take_the_same_fields(tmp_path: Path) -> None:
    table = (
        "portrait,speech,tenant,engine,department,params.seed,steps,labels.x,engine_params.head_motion\n"
        "portrait.png,speech.wav,acme,puppet,films,7,30,y,0.5\n"
    )
    files = {"portrait": "portrait.png", "speech": "speech.wav", "tenant": "acme", "engine": "puppet"}
    dotted = {**files, "department": "films", "params.seed": 7, "steps": 30, "labels.x": "y", "head_motion": 0.5}
    nested = {
        **files,
        "department": "films",
        "params": {"seed": 7, "inference_steps": 30},
        "labels": {"x": "y"},
        "engine_params": {"head_motion": 0.5},
    }
    (of_table,) = read(tmp_path / "a.csv", table)
    (of_dotted,) = read(tmp_path / "b.jsonl", json.dumps(dotted))
    (of_nested,) = read(tmp_path / "c.jsonl", json.dumps(nested))
    ref = InputRef(key="acme/x")
    assert of_table.request(ref, ref) == of_dotted.request(ref, ref) == of_nested.request(ref, ref)
    assert of_table.request(ref, ref).params.inference_steps == 30


def test_the_order_of_columns_makes_no_other_request(tmp_path: Path) -> None:
    head, tail = "portrait,speech", "portrait.png,speech.wav"
    objects = [
        {"labels": {"b": "2", "a": "1"}, "engine_params": {"head_motion": 0.5, "blinks": False}, "seed": 7},
        {"blinks": False, "labels.a": "1", "params": {"seed": 7}, "head_motion": 0.5, "labels.b": "2"},
    ]
    files = {"portrait": "portrait.png", "speech": "speech.wav"}
    specs = [
        read(tmp_path / "a.csv", f"{head},labels.b,labels.a,seed,head_motion,blinks\n{tail},2,1,7,0.5,false\n"),
        read(tmp_path / "b.csv", f"labels.a,blinks,head_motion,labels.b,{head},seed\n1,false,0.5,2,{tail},7\n"),
        *(read(tmp_path / "c.jsonl", json.dumps({**row, **files})) for row in objects),
        *(read(tmp_path / "d.jsonl", json.dumps({**files, **row})) for row in objects),
    ]
    bodies = {request(spec).model_dump_json(exclude_none=True, exclude_defaults=True) for (spec,) in specs}
    assert len(bodies) == 1


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"labels": {"ok": "\U0001f600", "x": "a\ud800"}}, "field labels.x, value a\\ud800: labels.x holds \\ud800"),
        ({"labels": {"\udfff": "x"}}, "field labels.\\udfff, value x: labels.\\udfff holds \\udfff"),
        ({"owner": "\ud800"}, "field owner, value \\ud800: owner holds \\ud800"),
        ({"job_id": "\ud800"}, "field job_id, value \\ud800: job_id holds \\ud800"),
        ({"params.framing": "\ud800"}, "field params.framing, value \\ud800: params.framing holds \\ud800"),
    ],
)
def test_half_a_character_is_a_fault_of_its_line_and_field(
    tmp_path: Path, fields: dict[str, object], place: str
) -> None:
    files = {"portrait": "portrait.png", "speech": "speech.wav"}
    found = faults(tmp_path / "jobs.jsonl", f"{json.dumps(files)}\n\n{json.dumps({**files, **fields})}\n")
    assert found == (f"line 3, {place}, half of a character, which UTF-8 can't represent",)
    found = faults(tmp_path / "jobs.csv", 'portrait,speech,framing\nportrait.png,speech.wav,"""\\ud800"""\n')
    assert found[0].startswith('line 2, column framing, value "\\ud800": params.framing holds \\ud800')


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_table_is_read_with_the_separators_and_line_ends_of_spreadsheets(
    tmp_path: Path, separator: str, end: str, mark: bytes
) -> None:
    lines = [("portrait", "speech", "min_resolution"), ("p ü.png", "speech.wav", "256"), ("", "", "")]
    text = end.join(separator.join(f'"{cell}"' if " " in cell else cell for cell in line) for line in lines)
    (spec,) = read(tmp_path / "jobs.csv", mark + text.encode())
    assert spec.portrait == tmp_path / "p ü.png"
    assert request(spec).params.min_resolution == 256


@pytest.mark.parametrize("name", ["jobs.csv", "jobs.tsv", "jobs.txt", "jobs"])
@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "sep=;;;", '"SEP=;";;', '"sep=;",,'])
def test_the_line_sep_names_the_separator(tmp_path: Path, name: str, line: str) -> None:
    (spec,) = read(tmp_path / name, f"{line}\r\nportrait;speech;labels.a,b\r\nportrait.png;speech.wav;x,y\r\n")
    assert request(spec).labels == {"a,b": "x,y"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["jobs.jsonl", "jobs"])
def test_jsonl_is_read_with_any_line_end(tmp_path: Path, name: str, end: str) -> None:
    row = '{"portrait": "portrait.png", "speech": "speech.wav"}'
    assert len(read(tmp_path / name, end.join([row, "", row, "# a comment", row, ""]))) == 3
    found = faults(tmp_path / "faulty.jsonl", end.join([row, "", "[]"]))
    assert found == ("line 3: not a JSON object",)


def test_line_ends_inside_quotes_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "two\r\nlines.png").write_bytes(b"x")
    (spec,) = read(tmp_path / "jobs.csv", 'portrait,speech\r"two\r\nlines.png",speech.wav\r')
    assert spec.portrait == tmp_path / "two\r\nlines.png"


@pytest.mark.parametrize("name", ["jobs.jsonl", "jobs.ndjson", "jobs"])
def test_a_mark_before_jsonl_is_skipped(tmp_path: Path, name: str) -> None:
    row = {"portrait": "p ü.png", "speech": "speech.wav", "params": {"min_resolution": 256}}
    (spec,) = read(tmp_path / name, b"\xef\xbb\xbf" + json.dumps(row).encode() + b"\r\n")
    assert request(spec).params.min_resolution == 256


def test_blank_lines_and_comments_between_rows_are_skipped_and_counted(tmp_path: Path) -> None:
    assert faults(
        tmp_path / "jobs.csv",
        '# a list, "of\n\nportrait,speech,labels.note\n\n# portrait.png\n"two\n\n# lines.png",speech.wav,x\n'
        "portrait.png,speech.wav,\nmissing.png,speech.wav,\n",
    ) == (f"line 10, column portrait, value missing.png: the portrait {tmp_path}/missing.png does not exist",)
    first, _ = read(
        tmp_path / "ok.csv",
        'portrait,speech,job_id\n# x\nportrait.png,speech.wav,a\n\nportrait.png,"speech.wav",b\n',
    )
    assert first.job_id == "a"
    path = tmp_path / "jobs.jsonl"
    assert faults(path, '# {\n\n{"portrait": "portrait.png"}\n') == (
        "line 3: speech is missing: the path of a local file",
    )


def test_every_fault_is_reported_with_line_column_value_and_range(tmp_path: Path) -> None:
    found = faults(
        tmp_path / "jobs.csv",
        "portrait,speech,job_id,steps,dynamic_scale,trim\n"
        "portrait.png,gone.wav,one,0,9,maybe\n"
        'portrait.png,speech.wav,two,30,"1,5",\n'
        "portrait.png,speech.wav,two,,,\n"
        "portrait.png,speech.wav,two,,,,,x\n",
    )
    words = [
        r"line 2, column speech, value gone.wav: the speech .* does not exist",
        r"line 2, column steps, value 0: params.inference_steps must be a whole number, 1 to 100; it is 0$",
        r"line 2, column dynamic_scale, value 9: params.dynamic_scale must be a number, 0.5 to 2; it is 9$",
        r"line 2, column trim, value maybe: params.trim must be true or false; it is text",
        r"line 3, column dynamic_scale, value 1,5: params.dynamic_scale must be a number, 0.5 to 2; it is text$",
        r"line 4: job_id two is already used on line 3",
        r"line 5: 8 cells under 6 named columns",
    ]
    for word in words:
        assert any(re.match(word, line) for line in found), (word, found)
    assert len(found) == len(words)


def test_a_job_id_and_another_tenant_are_refused_across_rows(tmp_path: Path) -> None:
    found = faults(
        tmp_path / "jobs.csv",
        "portrait,speech,job_id,tenant\n"
        "portrait.png,speech.wav,one,acme\nportrait.png,speech.wav,one,acme\nportrait.png,speech.wav,two,other\n",
    )
    assert found == (
        "line 3: job_id one is already used on line 2",
        "line 4: the tenant differs from that of line 2: a batch has one tenant",
    )


def test_columns_that_no_request_has_are_named_once_with_the_nearest(tmp_path: Path) -> None:
    found = faults(
        tmp_path / "jobs.csv",
        "portrait,Speech,Params.Sead,jobid,params\nportrait.png,speech.wav,1,a,\nportrait.png,speech.wav,1,b,\n",
    )
    assert found == (
        "line 1, column Params.Sead: no request has a field 'Params.Sead'; did you mean seed?",
        "line 1, column Speech: no request has a field 'Speech'; did you mean speech?",
        "line 1, column jobid: no request has a field 'jobid'; did you mean job_id?",
        "line 1, column params: a CSV file has a column for each member; as params.NAME",
        "line 1: the column speech is missing; is it 'Speech'?",
    )
    found = faults(
        tmp_path / "jobs.jsonl", '{"portrait": "portrait.png", "speech": "speech.wav", "self": 1, "batch": 2}'
    )
    assert found[0] == "line 1, field batch: batch can't be set: it is the row's place in the manifest"
    assert found[1].startswith("line 1, field self: no request has a field 'self'")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("jobs.csv", "portrait|speech\na|b\n", r"line 1: the separator '\|' is not read"),
        ("jobs.csv", "sep=|\nportrait|speech\n", r"line 2: the separator '\|' is not read"),
        ("jobs.csv", "", "has no header line"),
        ("jobs.csv", "portrait,speech\n", "names no job"),
        ("jobs.csv", "portrait,speech,seed,seed\n", "column seed occurs twice"),
        ("jobs.csv", "portrait,speech\nM\u00fcller.png,a.wav\n".encode("latin-1"), "line 2: byte 0xfc is not UTF-8"),
        ("jobs.csv", "portrait,speech\n".encode("utf-16"), "UTF-16"),
        ("jobs.csv", "portrait,speech\n".encode("utf-16-le"), "UTF-16"),
        ("jobs.csv", "portrait,speech\r\rM\u00fcller.png,a.wav\r".encode("latin-1"), "line 3: byte 0xfc is not UTF-8"),
        ("jobs.json", '[{"portrait": "portrait.png"}]', "JSON array"),
        ("none.csv", None, "does not exist"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused_by_a_sentence(
    tmp_path: Path, name: str, content: str | bytes | None, words: str
) -> None:
    path = tmp_path / name
    with pytest.raises(InvalidRequest, match=words):
        manifest.read(path, {}, LIMITS) if content is None else read(path, content)


def test_broken_lines_are_faults(tmp_path: Path) -> None:
    found = faults(tmp_path / "jobs.jsonl", '{\n[]\n{"portrait": "a", "portrait": "b"}\n' + "[" * 100_000)
    assert [line.split(": ")[:2] for line in found[:3]] == [
        ["line 1", "not JSON"],
        ["line 2", "not a JSON object"],
        ["line 3", "not JSON"],
    ]
    assert "portrait occurs twice" in found[2]
    assert found[3].startswith("line 4: not JSON")
    (fault,) = faults(tmp_path / "jobs.csv", 'portrait,speech\nportrait.png,speech.wav\n"open,speech.wav\nx,y\n')
    assert fault.startswith("line 3: not CSV")


def test_faults_beyond_a_bound_are_counted(tmp_path: Path) -> None:
    found = faults(tmp_path / "jobs.csv", "portrait,speech\n" + "gone.png,speech.wav\n" * 200)
    assert len(found) == manifest.MAX_SHOWN + 1
    assert found[-1] == f"... and {200 - manifest.MAX_SHOWN} more faults"


def test_a_row_overrides_the_defaults(tmp_path: Path) -> None:
    row = '{"portrait": "portrait.png", "speech": "speech.wav", "params": {"seed": 3}}\n'
    (one,) = read(tmp_path / "jobs.jsonl", row, params={"seed": 1, "inference_steps": 30})
    params = request(one).params
    assert (params.seed, params.inference_steps) == (3, 30)


def test_job_ids_of_a_named_batch_are_the_same_at_every_reading(tmp_path: Path) -> None:
    path, text = tmp_path / "jobs.csv", "portrait,speech\nportrait.png,speech.wav\nportrait.png,speech.wav\n"
    first, again = read(path, text), manifest.read(path, {}, LIMITS, "batch-1")
    assert [spec.job_id for spec in first] == [spec.job_id for spec in again]
    others = {
        *(spec.job_id for spec in manifest.read(path, {}, LIMITS, "batch-2")),
        *(spec.job_id for spec in manifest.read(path, {"tenant": "acme"}, LIMITS, "batch-1")),
        *(spec.job_id for spec in manifest.read(path, {}, LIMITS)),
        *(spec.job_id for spec in manifest.read(path, {}, LIMITS)),
    }
    assert len(others | {spec.job_id for spec in first}) == 10
    with pytest.raises(InvalidRequest, match="not a batch id"):
        manifest.read(path, {}, LIMITS, "a b")


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_bytes_end_in_another_error_than_a_refusal(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    for suffix in (".csv", ".jsonl", ""):
        path = tmp_path_factory.getbasetemp() / f"any{suffix}"
        path.write_bytes(data)
        with pytest.raises(InvalidRequest):
            manifest.read(path, {}, LIMITS)


def test_jobs_of_a_batch_are_bulk_unless_the_row_says_otherwise(tmp_path: Path) -> None:
    """By the topic that is chosen: the request stays the one that a version without lanes has sent."""
    plain, urgent, named = read(
        tmp_path / "jobs.csv",
        "portrait,speech,lane\nportrait.png,speech.wav,\n"
        "portrait.png,speech.wav,interactive\nportrait.png,speech.wav,bulk\n",
    )
    assert [spec.lane for spec in (plain, urgent, named)] == ["bulk", "interactive", "bulk"]
    assert [request(spec).lane for spec in (plain, urgent, named)] == ["interactive", "interactive", "bulk"]
    single = JobSpec.of_fields(tmp_path / "portrait.png", tmp_path / "speech.wav", {})
    assert (single.lane, JobSpec.of_fields(single.portrait, single.speech, {"lane": "bulk"}).lane) == (
        *("interactive", "bulk"),
    )
