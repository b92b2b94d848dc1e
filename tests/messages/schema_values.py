"""Values that are valid by a published JSON Schema, as a hypothesis strategy.

hypothesis-jsonschema does the same for any schema, and does not work with the present hypothesis. This one knows the
keywords that the published schemas use, and fails on any other.
"""

import re
from typing import Any

from hypothesis import strategies as st
from jsonschema import Draft202012Validator

Json = Any
Schema = dict[str, Any]

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NOTES = {"$schema", "$defs", "title", "description", "default"}
KEYWORDS = {
    "integer": {"minimum", "maximum", "multipleOf"},
    "number": {"minimum", "maximum"},
    "string": {"minLength", "maxLength", "pattern", "not"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "object": {"properties", "required", "additionalProperties", "propertyNames", "maxProperties", "allOf"},
    "boolean": set(),
    "null": set(),
}


class Values:
    """Makes strategies for the nodes of one schema."""

    def __init__(self, schema: Schema) -> None:
        self._root = schema
        self.strategy = self.of(schema)

    def of(self, node: Schema) -> st.SearchStrategy[Json]:
        """Values that are valid by this node."""
        if "$ref" in node:
            return st.deferred(lambda: self.of(self._root["$defs"][node["$ref"].rpartition("/")[2]]))
        if choices := node.get("anyOf") or node.get("oneOf"):
            return st.one_of(*map(self.of, choices))
        if "enum" in node or "const" in node:
            return st.sampled_from(node.get("enum", [node.get("const")]))
        kind = node.get("type")
        if kind is None:
            assert not set(node) - NOTES, node
            return ANY
        if isinstance(kind, list):
            return st.one_of(*(self.of(_only(node, one)) for one in kind))
        assert not set(node) - NOTES - {"type"} - KEYWORDS[kind], node
        strategy: st.SearchStrategy[Json] = getattr(self, f"_{kind}")(node)
        return strategy

    def _null(self, _: Schema) -> st.SearchStrategy[Json]:
        return st.none()

    def _boolean(self, _: Schema) -> st.SearchStrategy[Json]:
        return st.booleans()

    def _integer(self, node: Schema) -> st.SearchStrategy[Json]:
        step = node.get("multipleOf", 1)
        low, high = node["minimum"], node["maximum"]
        whole = st.integers(-(-low // step), high // step).map(lambda n: n * step)
        # JSON Schema counts a float without a fraction as an integer.
        return whole | whole.filter(lambda n: abs(n) <= 2**53).map(float)

    def _number(self, node: Schema) -> st.SearchStrategy[Json]:
        low, high = node["minimum"], node["maximum"]
        return st.floats(low, high) | st.integers(-int(-low // 1), int(high))

    def _string(self, node: Schema) -> st.SearchStrategy[Json]:
        if "pattern" in node:
            texts = st.from_regex(re.compile(node["pattern"]))
        else:
            texts = st.text(min_size=node.get("minLength", 0), max_size=node.get("maxLength", 20))
        return texts.filter(Draft202012Validator(node).is_valid)

    def _array(self, node: Schema) -> st.SearchStrategy[Json]:
        if "prefixItems" in node:
            assert node["minItems"] == node["maxItems"] == len(node["prefixItems"])
            return st.tuples(*map(self.of, node["prefixItems"])).map(list)
        return st.lists(self.of(node["items"]), max_size=3)

    def _object(self, node: Schema) -> st.SearchStrategy[Json]:
        properties, required = node.get("properties", {}), set(node.get("required", ()))
        members = {name: self.of(member) for name, member in properties.items()}
        known = st.fixed_dictionaries(
            {name: member for name, member in members.items() if name in required},
            optional={name: member for name, member in members.items() if name not in required},
        )
        if "allOf" in node:
            return self._conditional(node, known)
        more = node.get("additionalProperties", True)
        if more is False:
            return known
        names = self.of({"type": "string", **node.get("propertyNames", {"maxLength": 20})})
        unknown = st.dictionaries(
            names.filter(lambda name: name not in properties),
            ANY if more is True else self.of(more),
            max_size=node.get("maxProperties", 2),
        )
        return st.tuples(known, unknown).map(lambda parts: {**parts[1], **parts[0]})

    def _conditional(self, node: Schema, known: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
        """The members that the rules whose condition holds ask for, instead of the properties' own."""
        rules = [(Draft202012Validator(rule["if"]), rule["then"]["properties"]) for rule in node["allOf"]]

        @st.composite
        def drawn(draw: st.DrawFn) -> Json:
            value = draw(known)
            for condition, properties in rules:
                if condition.is_valid(value):
                    value |= {name: draw(self.of(member)) for name, member in properties.items() if name in value}
            return value

        return drawn()


def _only(node: Schema, kind: str) -> Schema:
    """The node for one of its types."""
    return {name: value for name, value in node.items() if name in NOTES | KEYWORDS[kind]} | {"type": kind}
