"""Every attribute that code sets, or that a query, a dashboard, the collector or a page names, is registered."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.cli import trace_lines
from shared.messages.engines import ENGINES
from shared.telemetry.attributes import RESOURCE_ATTRIBUTES, SPAN_ATTRIBUTES, Use
from shared.telemetry.span_catalogue import SPANS

ROOT = Path(__file__).resolve().parents[2]
QUERYING = [
    *sorted(path for path in (ROOT / "deploy").rglob("*") if path.suffix in (".yaml", ".yml", ".json")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "shared" / "cli").rglob("*.py")),
]
SOURCES = sorted(path for room in ("shared", "stages") for path in (ROOT / room).rglob("*.py"))

_NAME = r'"?([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*)'
SPAN_KEY = re.compile(rf"(?<![\w./-])span\.{_NAME}")
RESOURCE_KEY = re.compile(rf"(?<![\w./-])resource\.{_NAME}")
COLLECTOR_KEY = re.compile(r"\b(?:key|from_attribute|name):\s*\"?([a-z_]+(?:\.[a-z_]+)+)\"?")
DIMENSIONS = re.compile(r"\bdimensions:\s*\[([^\]]*)\]")
"""Of Tempo's metrics generator."""
WHERE = re.compile(r"--where[ =]'([^']*)'|--where[ =]\"([^\"]*)\"")
LITERAL = re.compile(r"'[^']*'|\"[^\"]*\"")
DOTTED = re.compile(r"\b[a-z]+(?:\.[a-z_]+)+\b")
PYTHON = {"span": {"name", "attributes", "service", "span_id", "parent_id", "events", "links", "error"}}
"""Names of our own objects, where a command's code reads them: no TraceQL."""


def span_keys(path: Path, text: str) -> Iterator[str]:
    """The span attributes that the text names."""
    known = SPAN_KEY.findall(text)
    if path.suffix == ".py":  # `span.name` is an object's field; TraceQL stands in string literals with a brace.
        strings = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
        known = [key for one in strings if isinstance(one, str) and "{" in one for key in SPAN_KEY.findall(one)]
    yield from known
    if "collector" in path.parts:
        yield from COLLECTOR_KEY.findall(text)
    for listed in DIMENSIONS.findall(text):
        yield from (key.strip(" \"'") for key in listed.split(",") if key.strip())
    for quoted in WHERE.findall(text):
        yield from DOTTED.findall(LITERAL.sub("", "".join(quoted)))


@pytest.mark.parametrize("path", QUERYING, ids=lambda path: str(path.relative_to(ROOT)))
def test_queried_attribute_is_registered(path: Path) -> None:
    text = path.read_text()
    known = {key for key, attribute in SPAN_ATTRIBUTES.items() if attribute.use is not Use.DROPPED}
    assert sorted(set(span_keys(path, text)) - known - RESOURCE_ATTRIBUTES) == []
    assert sorted(set(RESOURCE_KEY.findall(text)) - RESOURCE_ATTRIBUTES) == []


def test_such_names_are_found() -> None:
    query = '{ name = "render" && span.inference.steps > 20 && span.nonsense.ms > 1 } | select(span."render.job")'
    assert list(span_keys(Path("q.md"), query)) == ["inference.steps", "nonsense.ms", "render.job"]
    assert list(span_keys(Path("q.md"), "--where 'audio.drift_ms > 100 and error.type = \"a.b\"'")) == [
        "audio.drift_ms",
        "error.type",
    ]
    assert list(span_keys(Path("deploy/collector/c.yaml"), "key: render.slow")) == ["render.slow"]
    assert list(span_keys(Path("deploy/tempo/t.yaml"), "dimensions: [engine, error.type]")) == ["engine", "error.type"]
    assert list(span_keys(Path("a.py"), 'x = span.name\ny = "{ span.frames > 1 }"')) == ["frames"]


def test_columns_of_the_tree_are_registered() -> None:
    assert set(trace_lines.SHOWN) <= set(SPAN_ATTRIBUTES)


def _literals(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Keys of attributes in calls that set them: arguments that are dictionaries, and names that handlers set."""
    setters = {
        "set_attributes",
        "registered",
        "start_span",
        "start_as_current_span",
        "work_span",
        "span",
        "event",
        "add_event",
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if name == "set" and isinstance(owner, ast.Name) and owner.id == "span" and len(node.args) == 2:
            yield from ((a.value, node) for a in node.args[:1] if isinstance(a, ast.Constant))
        if name in setters:
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                if isinstance(argument, ast.Dict):
                    yield from ((k.value, node) for k in argument.keys if isinstance(k, ast.Constant))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_attribute_that_code_sets_is_registered(path: Path) -> None:
    unknown = {key for key, _ in _literals(ast.parse(path.read_text())) if key not in SPAN_ATTRIBUTES}
    assert unknown == set()


def test_only_the_setter_sets_attributes() -> None:
    direct = re.compile(r"\.set_attributes?\(")
    found = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if direct.search(path.read_text()) and path.name != "attributes.py"
    ]
    assert found == []


def test_every_started_span_is_in_the_catalogue() -> None:
    names = {form.name.replace("<topic>", "").replace("<engine>", engine) for form in SPANS for engine in ENGINES}
    starting = re.compile(r"(?:start_span\(|start_as_current_span\(|\.span\(|work_span\(\s*[\w.]+,)\s*f?\"([a-z_.]+ ?)")
    started = {name for path in SOURCES for name in starting.findall(path.read_text())}
    assert started, "spans are found"
    known = names | {name.partition(" ")[0] + " " for name in names} | {"artifact."}
    assert started <= known
