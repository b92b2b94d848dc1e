"""KAFKA_PROPERTIES_FILE: values from the files of a mounted Secret, and properties that no deployment may have."""

import json
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from shared.runtime.kafka_config import base, consumer_config, producer_config
from shared.runtime.properties_file import read_properties, takes_files
from shared.runtime.settings import RuntimeSettings
from tests.conftest import Infrastructure
from tests.runtime.test_entry_point import run

SECRET = "pa$$=${word}#1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Secret as Kubernetes mounts it: links to a folder that is exchanged as a whole."""
    data = tmp_path / "secret" / "..data"
    data.mkdir(parents=True)
    for name, text in {"user": "render\n", "password": f"{SECRET}\r\n", "key.pem": "-----BEGIN-----\nx\n\n"}.items():
        (data / name).write_bytes(text.encode())
        (data.parent / name).symlink_to(Path("..data") / name)
    return data.parent


def properties(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "kafka.properties"
    file.write_text(text)
    return file


def test_values_are_the_contents_of_the_files_without_their_last_line_end(tmp_path: Path, folder: Path) -> None:
    file = properties(
        tmp_path,
        f"sasl.password = ${{directory:{folder}:password}}\n"
        f"sasl.jaas=user=${{directory:{folder}:user}} password=${{directory:{folder}:password}};\n"
        f"ssl.key.pem=${{directory:{folder}:key.pem}}\n"
        "plain=${env:HOME} ${not} $\n",
    )
    assert read_properties(file) == {
        "sasl.password": SECRET,
        "sasl.jaas": f"user=render password={SECRET};",
        "ssl.key.pem": "-----BEGIN-----\nx\n",
        "plain": "${env:HOME} ${not} $",
    }
    assert [takes_files(file, name) for name in ("sasl.password", "plain", "absent")] == [True, False, False]


def test_every_client_gets_the_values_and_a_new_client_the_new_ones(tmp_path: Path, folder: Path) -> None:
    settings = RuntimeSettings(
        kafka_properties_file=properties(tmp_path, f"sasl.password=${{directory:{folder}:password}}")
    )
    assert base(settings, "x")["sasl.password"] == SECRET
    assert producer_config(settings, "x")["sasl.password"] == SECRET
    (folder / "password").write_text("rotated")
    assert consumer_config(settings, "x", "group", "classic")["sasl.password"] == "rotated"


def test_client_connects_with_such_a_value(stack: Infrastructure, tmp_path: Path, folder: Path) -> None:
    (folder / "servers").write_text(stack.bootstrap_servers + "\n")
    file = properties(tmp_path, f"bootstrap.servers=${{directory:{folder}:servers}}")
    settings = RuntimeSettings(bootstrap_servers="127.0.0.1:1", kafka_properties_file=file)
    assert AdminClient(base(settings, "x")).list_topics(timeout=30).brokers


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("${directory:FOLDER:nothing}", "can't be read from FOLDER/nothing: No such file or directory"),
        ("${directory:FOLDER:bytes}", "can't be read from FOLDER/bytes: not UTF-8 text"),
        ("${directory:FOLDER}", "must name a file as ${directory:FOLDER:FILE}"),
        ("${directory:FOLDER:../secret/password}", "must name a file as ${directory:FOLDER:FILE}"),
    ],
)
def test_file_that_can_not_be_read_is_named_and_no_value_is(
    value: str, words: str, tmp_path: Path, folder: Path
) -> None:
    (folder / "bytes").write_bytes(b"\xff\xfe")
    text = f"security.protocol=ssl\nsasl.password=x{SECRET}{value.replace('FOLDER', str(folder))}"
    with pytest.raises(ValueError, match=r"kafka\.properties, line 2") as raised:
        read_properties(properties(tmp_path, text))
    expected = words if words.startswith("must") else words.replace("FOLDER", str(folder))
    assert str(raised.value) == f"kafka.properties, line 2: the value of sasl.password {expected}"


@pytest.mark.parametrize("stage", ["face", "relay"])
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sasl.password=${directory:nowhere:password}", "the value of sasl.password can't be read from"),
        ("transactional.id=mine", "transactional.id must not be set: "),
    ],
)
def test_service_refuses_to_start_with_one_line(stage: str, line: str, words: str, tmp_path: Path) -> None:
    ended = run(stage, KAFKA_PROPERTIES_FILE=str(properties(tmp_path, line)))
    assert ended.returncode == 2
    (logged,) = map(json.loads, ended.stdout.splitlines())
    assert logged["event"] == "wrong_use"
    assert "KAFKA_PROPERTIES_FILE" in logged["reason"]
    assert words in logged["reason"]
