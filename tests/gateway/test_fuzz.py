"""Whatever is sent, the gateway answers as its OpenAPI document says, and never with a failure of its own."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi import checks

from tests.gateway.conftest import Gateway

# Of the stages two processes ask the broker, and traces are asked of another service: they have tests of their own.
EXCLUDED = "^/v1/stages$|/trace$"


@pytest.fixture(scope="session")
def api(gateway: Gateway) -> Any:
    schema = schemathesis.openapi.from_url(f"{gateway.url}/openapi.json")

    @schema.auth()
    class Key:
        def get(self, case: Any, context: Any) -> str:
            return gateway.keys["acme operator"]

        def set(self, case: Any, data: str, context: Any) -> None:
            case.headers = {**(case.headers or {}), "authorization": f"Bearer {data}"}

    return schema


schema = schemathesis.pytest.from_fixture("api").exclude(path_regex=EXCLUDED)


@schema.parametrize()
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
def test_answers_are_as_the_document_says(case: Any) -> None:
    # What a schema can't say, as that a key begins with the tenant, is refused though it is valid by the schema.
    case.call_and_validate(excluded_checks=[checks.positive_data_acceptance])
