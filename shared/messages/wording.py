"""A JSON Schema node in words: what a value may be, for error messages and for the tables of the documentation."""

from collections.abc import Mapping
from typing import Any

from shared.messages.refs import ALIAS, MAX_KEY_BYTES, SHA256
from shared.messages.request import JOB_ID, NAME, OWNER
from shared.messages.text import KEY, PATTERN

Node = Mapping[str, Any]

PATTERNS = {
    NAME: "1 to 63 of a-z, 0-9, _ and -, the first a letter or digit",
    JOB_ID: "1 to 64 of A-Z, a-z, 0-9, _ and -",
    OWNER: "1 to 128 of A-Z, a-z, 0-9 and @ . _ + -",
    ALIAS: "1 to 63 of a-z, 0-9 and -, the first a letter or digit",
    KEY: f"a relative key of at most {MAX_KEY_BYTES} bytes, without empty, . and .. segments, backslashes, control "
    "characters and URLs",
    SHA256: "64 hexadecimal digits in lower case",
}

KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
}


def plain(node: Node, defs: Node) -> Node:
    """The node itself, with references followed and the null branch of an optional field put aside."""
    while True:
        if "$ref" in node:
            node = defs[str(node["$ref"]).rsplit("/", 1)[-1]]
            continue
        branches = [b for b in node.get("anyOf", ()) if b.get("type") != "null"]
        if len(branches) != 1:
            return node
        node = branches[0]


def allowed(node: Node, defs: Node) -> str | None:
    """The accepted range or set in words, for example ``256 to 1024, a multiple of 64``; None when anything goes."""
    node = plain(node, defs)
    if "anyOf" in node:
        return listed([_branch(b, defs) for b in node["anyOf"] if b.get("type") != "null"])
    if "const" in node or "enum" in node:
        return listed([str(v) for v in node.get("enum", [node.get("const")])])
    match node.get("type"):
        case "integer" | "number":
            return _numbers(node)
        case "string":
            return _text(node)
        case "boolean":
            return KINDS["boolean"]
        case "array":
            return _items(node, defs)
        case "object":
            return _members(node)
    return None


def described(node: Node, defs: Node) -> str:
    """Kind and range: ``a whole number, 1 to 100``."""
    node = plain(node, defs)
    kind, span = KINDS.get(str(node.get("type")), "a value"), allowed(node, defs)
    if span is None:
        return kind
    if node.get("type") in ("integer", "number") or ("pattern" in node and node["pattern"] in PATTERNS):
        return f"{kind}, {span}"
    return span


def _branch(node: Node, defs: Node) -> str:
    """One of several kinds, without the comma that would part it from its range."""
    return described(node, defs).replace(", ", " from ", 1) if "minimum" in node else described(node, defs)


def listed(words: list[str], last: str = "or") -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def number(value: float) -> str:
    """A bound without a needless ``.0`` or exponent."""
    return str(int(value)) if float(value).is_integer() else f"{value:g}"


def _numbers(node: Node) -> str | None:
    low, high, step = node.get("minimum"), node.get("maximum"), node.get("multipleOf")
    if low is not None and high is not None:
        span = f"{number(low)} to {number(high)}"
    elif low is not None:
        span = f"{number(low)} or more"
    elif high is not None:
        span = f"{number(high)} or less"
    else:
        return None
    return f"{span}, a multiple of {number(step)}" if step is not None else span


def _text(node: Node) -> str | None:
    without = ", without control characters" if node.get("pattern") == PATTERN else ""
    if "pattern" in node and not without:
        return PATTERNS.get(node["pattern"], f"text that matches {node['pattern']}")
    low, high = node.get("minLength"), node.get("maxLength")
    if low is not None and high is not None:
        return f"text of {low} to {high} characters{without}"
    return None if high is None else f"text of at most {high} characters{without}"


def _items(node: Node, defs: Node) -> str:
    if "prefixItems" in node:
        each = allowed(node["prefixItems"][0], defs)
        return f"a list of {len(node['prefixItems'])} numbers" + (f", each {each}" if each else "")
    return "a list"


def _members(node: Node) -> str:
    if "properties" in node:
        return f"an object with {listed(list(node['properties']), 'and')}"
    limits = [
        f"at most {node['maxProperties']} entries" if "maxProperties" in node else "",
        f"names of at most {node['propertyNames']['maxLength']} characters" if "propertyNames" in node else "",
    ]
    return ", ".join(["an object", *filter(None, limits)])
