"""Whatever is sent, the gateway answers as its OpenAPI document says, and never with a failure of its own."""

import json
import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi import checks

from tests.conftest import ROOT
from tests.gateway.conftest import Gateway

# Of the stages two processes ask the broker, and traces are asked of another service: they have tests of their own.
EXCLUDED = re.compile("^/v1/stages$|/trace$|/events$")
DOCUMENT = json.loads((ROOT / "docs" / "schemas" / "openapi.json").read_text())
OPERATIONS = [
    (path, method) for path, item in DOCUMENT["paths"].items() for method in item if not EXCLUDED.search(path)
]
UNKNOWABLE = [
    # What a schema can't say, as that a key begins with the tenant, is refused though it is valid by the schema.
    checks.positive_data_acceptance,
    # Every request here has a key; those without are the tests of tenants.
    checks.ignored_auth,
]


@pytest.fixture(scope="module")
def api(gateway: Gateway) -> Any:
    return schemathesis.openapi.from_url(f"{gateway.url}/openapi.json")


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_answers_are_as_the_document_says(gateway: Gateway, api: Any, path: str, method: str) -> None:
    headers = {"authorization": f"Bearer {gateway.keys['acme operator']}"}

    @given(case=api[path][method.upper()].as_strategy())
    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    def check(case: Any) -> None:
        case.call_and_validate(headers=headers, excluded_checks=UNKNOWABLE)

    check()
