"""A JSON Schema node in words: what a value may be, for error messages."""

from collections.abc import Mapping
from typing import Any

from shared.messages.names import CONSENT, JOB_ID, NAME, OWNER
from shared.messages.refs import ALIAS, MAX_KEY_BYTES, SHA256
from shared.messages.text import KEY_PATTERN, TEXT_PATTERN

Node = Mapping[str, Any]

PATTERNS = {
    NAME: "1 to 63 of a-z, 0-9, _ and -, the first a letter or digit",
    JOB_ID: "1 to 64 of A-Z, a-z, 0-9, _ and -",
    OWNER: "1 to 128 of A-Z, a-z, 0-9 and @ . _ + -",
    CONSENT: "1 to 128 of A-Z, a-z, 0-9 and . _ : -",
    ALIAS: "1 to 63 of a-z, 0-9 and -, the first a letter or digit",
    KEY_PATTERN: f"a relative key of at most {MAX_KEY_BYTES} bytes, without empty, . and .. segments, backslashes, "
    "control characters and URLs",
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


def resolve(node: Node, defs: Node) -> Node:
    """The node itself, with references resolved and the null branch of an optional field removed."""
    while True:
        if "$ref" in node:
            node = defs[str(node["$ref"]).rsplit("/", 1)[-1]]
            continue
        branches = [b for b in node.get("anyOf", ()) if b.get("type") != "null"]
        if len(branches) != 1:
            return node
        node = branches[0]


def allowed_values(node: Node, defs: Node) -> str | None:
    """The accepted range or set in words, such as ``256 to 1024, a multiple of 64``; None when there is no limit."""
    node = resolve(node, defs)
    if "anyOf" in node:
        return join_words([_branch(b, defs) for b in node["anyOf"] if b.get("type") != "null"])
    if "const" in node or "enum" in node:
        return join_words([str(v) for v in node.get("enum", [node.get("const")])])
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


def describe(node: Node, defs: Node) -> str:
    """Kind and range: ``a whole number, 1 to 100``."""
    node = resolve(node, defs)
    kind, span = KINDS.get(str(node.get("type")), "a value"), allowed_values(node, defs)
    if span is None:
        return kind
    if node.get("type") in ("integer", "number") or ("pattern" in node and node["pattern"] in PATTERNS):
        return f"{kind}, {span}"
    return span


def _branch(node: Node, defs: Node) -> str:
    """One of several kinds; its range follows without a comma."""
    return describe(node, defs).replace(", ", " from ", 1) if "minimum" in node else describe(node, defs)


def join_words(words: list[str], last: str = "or") -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def format_bound(value: float) -> str:
    """A bound without a redundant ``.0`` or exponent."""
    return str(int(value)) if float(value).is_integer() else f"{value:g}"


def _numbers(node: Node) -> str | None:
    low, high, step = node.get("minimum"), node.get("maximum"), node.get("multipleOf")
    if low is not None and high is not None:
        span = f"{format_bound(low)} to {format_bound(high)}"
    elif low is not None:
        span = f"{format_bound(low)} or more"
    elif high is not None:
        span = f"{format_bound(high)} or less"
    else:
        return None
    return f"{span}, a multiple of {format_bound(step)}" if step is not None else span


def _text(node: Node) -> str | None:
    without = ", without control characters" if node.get("pattern") == TEXT_PATTERN else ""
    if "pattern" in node and not without:
        return PATTERNS.get(node["pattern"], f"text that matches {node['pattern']}")
    low, high = node.get("minLength"), node.get("maxLength")
    if low is not None and high is not None:
        return f"text of {low} to {high} characters{without}"
    return None if high is None else f"text of at most {high} characters{without}"


def _items(node: Node, defs: Node) -> str:
    if "prefixItems" in node:
        each = allowed_values(node["prefixItems"][0], defs)
        return f"a list of {len(node['prefixItems'])} numbers" + (f", each {each}" if each else "")
    return "a list"


def _members(node: Node) -> str:
    if "properties" in node:
        return f"an object with {join_words(list(node['properties']), 'and')}"
    limits = [
        f"at most {node['maxProperties']} entries" if "maxProperties" in node else "",
        f"names of at most {node['propertyNames']['maxLength']} characters" if "propertyNames" in node else "",
    ]
    return ", ".join(["an object", *filter(None, limits)])
