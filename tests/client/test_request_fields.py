"""Values of request fields as people write them."""

import pytest
from pydantic import JsonValue

from shared.client.request_fields import FieldPath, value_of


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        (("output", "preview"), "true", True),
        (("output", "preview"), "FALSE", False),
        (("output", "bucket"), "7", "7"),
        (("output", "prefix"), "true", "true"),
        (("labels", "campaign"), "7", "7"),
        (("params", "seed"), "7", 7),
    ],
)
def test_text_stays_text_and_the_rest_is_json(path: FieldPath, text: str, value: JsonValue) -> None:
    assert value_of(path, text) == value
