"""docs/performance.md is generated from the records, other pages take their figures from them, and age is reported."""

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import __main__ as runner
from bench import record
from bench.catalogue import CATALOGUE
from tests.conftest import ROOT
from tools import performance_page, records
from tools.record_tables import sections

MEASURED = re.compile(
    r"\bmeasured (for|on|at|by|with)\b|(two|virtual) cores|(idle|quiet) machine|\b[HA][12]00\b|\bat load \d|real time",
    re.IGNORECASE,
)
"""Words of a paragraph that states measurements."""
SOURCE = re.compile(r"<!-- (?:record: (\S+)|past: (\S+)|figure: (\S+) .+?) -->")
GENERATED = {"performance", "benchmarks", "decisions", "cli", "configuration", "metrics", "telemetry", "changelog"}
"""Pages that hold no figures of their own, and the page of past figures itself."""


def made(name: str = "encode", **figures: object) -> records.Record:
    measures = CATALOGUE[name].measures
    return {
        "benchmark": name,
        "date": "2026-11-29",
        "command": f"python -m bench.{name}",
        "version": "0.4.0",
        "commit": "1234567",
        "python": "3.11.7",
        "cpu": "CPU",
        "cores": 2,
        "load": {"start": [0.5, 0, 0], "end": [1.5, 0, 0]},
        "measures": {"paths": list(measures), "sha256": record.digest(measures)},
        **figures,
    }


def test_page_and_figures_are_those_of_the_records() -> None:
    """`python -m tools.performance_page` writes them."""
    assert performance_page.outdated(records.records()) == []


def test_records_that_are_older_than_their_code_are_listed() -> None:
    """No failure: code changes daily, and a benchmark needs a quiet machine."""
    if older := records.older(records.records().values()):
        warnings.warn(f"older than the code that they measure: {', '.join(older)}; run `make bench`", stacklevel=1)


def test_a_record_is_older_once_its_code_or_its_paths_differ(tmp_path: Path) -> None:
    one = made()
    assert not records.is_older(one)
    for path in CATALOGUE["encode"].measures:
        source = ROOT / path
        for file in [source] if source.is_file() else source.rglob("*.py"):
            copy = tmp_path / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    partial = {**one, "measures": {**one["measures"], "sha256": record.digest(CATALOGUE["encode"].measures, tmp_path)}}
    assert not records.is_older(partial, tmp_path)
    with (tmp_path / "stages" / "encode" / "mp4.py").open("a") as file:
        file.write("# one line more\n")
    assert records.is_older(partial, tmp_path)
    assert records.is_older({**one, "measures": {**one["measures"], "paths": ["stages/encode"]}})


def test_every_path_that_a_benchmark_measures_exists() -> None:
    for name, benchmark in CATALOGUE.items():
        assert record.digest(benchmark.measures), name
        module = ROOT / benchmark.module(name).replace(".", "/")
        assert module.is_dir() or module.with_suffix(".py").is_file(), name
        own = module.relative_to(ROOT).as_posix()
        assert any(own.startswith(path.removesuffix(".py")) for path in benchmark.measures), f"{name} measures itself"


def test_a_path_that_is_gone_is_an_error() -> None:
    with pytest.raises(SystemExit, match="no/such does not exist"):
        record.digest(["no/such"])


def test_a_record_is_found_by_the_name_of_its_benchmark(tmp_path: Path) -> None:
    (tmp_path / "hop.json").write_text(json.dumps(made("hop")))
    (tmp_path / "encode.json").write_text(json.dumps(made("encode")))
    assert list(records.records(tmp_path)) == ["hop", "encode"]
    (tmp_path / "other.json").write_text(json.dumps(made("hop")))
    with pytest.raises(ValueError, match=r"other\.json"):
        records.records(tmp_path)


def test_a_figure_in_a_page_is_replaced_by_the_records() -> None:
    found = {"encode": made(cpu_s={"ours": 1.25}, rounds=[1, 2])}
    text = "It takes <!-- figure: encode cpu_s/ours -->9<!-- end --> s in <!-- figure: encode rounds --><!-- end -->."
    assert performance_page.filled(text, found) == (
        "It takes <!-- figure: encode cpu_s/ours -->1.25<!-- end --> s in"
        " <!-- figure: encode rounds -->1, 2<!-- end -->."
    )


@pytest.mark.parametrize("name", ["encode cpu_s/theirs", "encode cpu_s", "hop jobs"])
def test_a_figure_that_no_record_has_is_an_error(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        performance_page.filled(f"<!-- figure: {name} -->1<!-- end -->", {"encode": made(cpu_s={"ours": 1.25})})


def test_the_page_marks_records_that_are_older_and_is_current_without_the_marks() -> None:
    found = {"encode": made(cpu_s={"ours": 1.25})}
    marked, plain = performance_page.page(found, {"encode"}), performance_page.page(found, set())
    assert marked.count(performance_page.OLDER) == 1 and performance_page.OLDER not in plain
    assert performance_page.unmarked(marked) == plain
    assert "| ours | 1.25 |" in plain and "commit 1234567" in plain


def test_nested_figures_become_tables() -> None:
    figures = {
        "jobs": 2,
        "targets": {"batch": {"figure": 0.4, "met": False}, "alone": {"figure": 1.2, "met": True}},
        "rows": [{"name": "a", "seconds": [1, 2]}],
        "cpu_s": {"ours": {"deep": {"er": {"est": {"of": 1}}}}},
    }
    text = "\n".join(sections(figures))
    assert "| jobs | 2 |" in text
    assert "**Targets**\n\n|  | figure | met |\n| --- | --- | --- |\n| batch | 0.4 | **no** |\n" in text
    assert "| name | seconds |\n| --- | --- |\n| a | 1, 2 |" in text
    assert "**Cpu (s), ours, deep**\n\n|  | est |\n| --- | --- |\n| er | of 1 |" in text


def test_a_benchmark_is_run_by_its_options() -> None:
    file = Path("FILE")
    assert runner.command("routing", False, Path("OTHER"), file)[1:] == [
        "-m", "bench.routing", "--members", "2", "4", "8", "16", "--json", "FILE",
    ]  # fmt: skip
    assert runner.command("throughput", True, Path("OTHER"), file)[-4:] == ["--baseline", "OTHER", "--json", "FILE"]


def paragraphs_with_measurements() -> Iterator[tuple[str, str, str]]:
    """Page, the paragraph, and the text of its section: what stands between two headings."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        if page.stem not in GENERATED:
            for section in re.split(r"^#+ ", page.read_text(), flags=re.MULTILINE):
                for paragraph in section.split("\n\n"):
                    if MEASURED.search(paragraph) and re.search(r"\d", paragraph):
                        yield page.name, paragraph, section


def test_measurements_in_pages_name_their_record() -> None:
    past = set(re.findall(r"^\| `([\w.-]+)` \|", (ROOT / "docs" / "benchmarks.md").read_text(), re.MULTILINE))
    kept = records.records()
    found = list(paragraphs_with_measurements())
    assert len(found) > 10
    missing = []
    for page, paragraph, section in found:
        sources = SOURCE.findall(section)
        if not any(name in kept or figure in kept or earlier in past for name, earlier, figure in sources):
            missing.append((page, paragraph[:160]))
    assert missing == []


def test_every_benchmark_that_writes_a_record_is_in_the_catalogue() -> None:
    """``emit`` takes what the benchmark measures from there."""
    named = {
        name
        for file in (ROOT / "bench").rglob("*.py")
        for name in re.findall(r"^\s+emit\(\s*\"(\w+)\",", file.read_text(), re.MULTILINE)
        if file.stem != "member"
    }
    assert named == set(CATALOGUE)
