"""The AsyncAPI document is valid: by the specification's own JSON Schema, and by the official parser."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from shared.messages import schemas
from shared.messages.asyncapi import asyncapi

FILES = Path(__file__).parent / "asyncapi"
DOCUMENT = schemas.FOLDER / "asyncapi.json"
PARSER = "@asyncapi/parser@3.6.6"


def resolved(node: Any) -> Any:
    """The document with the payloads in place of the references to their files."""
    if isinstance(node, dict):
        if str(node.get("$ref", "")).startswith("./"):
            payload = json.loads((schemas.FOLDER / node["$ref"]).read_text())
            return {name: value for name, value in payload.items() if name != "$schema"}
        return {name: resolved(value) for name, value in node.items()}
    return [resolved(item) for item in node] if isinstance(node, list) else node


@pytest.fixture(scope="module")
def meta_schema() -> Draft7Validator:
    return Draft7Validator(json.loads((FILES / "3.0.0.json").read_text()))


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the official parser, from the npm registry that this machine uses."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("asyncapi")
    (folder / "package.json").write_text("{}")
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0", PARSER]
    try:
        installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm does not get {PARSER} within 200 s")
    if installed.returncode:
        pytest.skip(f"npm can't get {PARSER}: {installed.stderr.strip().splitlines()[-1:]}")
    return folder


def parse(parser: Path, document: Path) -> subprocess.CompletedProcess[str]:
    command = ["node", str(FILES / "parse.mjs"), str(document)]
    return subprocess.run(command, cwd=parser, capture_output=True, text=True, timeout=100, check=False)


def test_document_is_valid_by_the_meta_schema(meta_schema: Draft7Validator) -> None:
    assert list(meta_schema.iter_errors(resolved(asyncapi()))) == []


def test_meta_schema_refuses_the_discriminator_of_openapi(meta_schema: Draft7Validator) -> None:
    document = resolved(asyncapi())
    document["components"]["messages"]["RenderEvent"]["payload"]["discriminator"] = {"propertyName": "type"}
    assert not meta_schema.is_valid(document)


def test_official_parser_accepts_the_document(parser: Path) -> None:
    result = parse(parser, DOCUMENT)
    assert (result.returncode, result.stdout) == (0, "AsyncAPI 3.0.0, 11 messages\n"), result.stderr


def test_official_parser_refuses_a_broken_payload(parser: Path, tmp_path: Path) -> None:
    for path in schemas.FOLDER.iterdir():
        shutil.copy(path, tmp_path)
    event = tmp_path / "render-event.schema.json"
    event.write_text(json.dumps({**json.loads(event.read_text()), "discriminator": {"propertyName": "type"}}))
    result = parse(parser, tmp_path / DOCUMENT.name)
    assert result.returncode == 1
    assert "discriminator" in result.stdout
