"""The committed OpenAPI document is that of the application."""

from stages.gateway.app import make_document
from tools.openapi import PAGE, text


def test_the_committed_document_is_up_to_date() -> None:
    assert PAGE.read_text() == text(), "write it with `python -m tools.openapi`"


def test_every_operation_names_its_answers_and_errors() -> None:
    for path, methods in make_document()["paths"].items():
        for method, operation in methods.items():
            responses = operation["responses"]
            assert {"4XX", "5XX"} <= set(responses), (method, path)
            assert "422" not in responses, (method, path)
            for status, response in responses.items():
                content = response.get("content", {})
                for media_type, one in content.items():
                    assert one["schema"], (method, path, status, media_type)
