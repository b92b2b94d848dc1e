"""`lipstage keys`: a key is printed once and alone, its file has the hash, and nothing of it is lost."""

import os
import time
from pathlib import Path

import pytest

from shared.access import api_keys
from shared.local import gateway
from shared.local.settings import LocalSettings
from tests.cli.conftest import Lipstage

DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def _state(nowhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(gateway.KEYS_VARIABLE, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.jsonl"


def test_key_is_alone_on_stdout_and_works(lipstage: Lipstage, file: Path) -> None:
    before = time.time_ns() // 1_000_000
    ran = lipstage("keys", "create", "--tenant", "acme", "--role", "operator", "--expires", "90d", "--note", "of Ada",
                   "--file", file)  # fmt: skip
    assert ran.code == 0
    (text,) = ran.out.splitlines()
    found = api_keys.find(api_keys.read(file), text, before)
    assert found is not None
    assert (found.tenant, found.role, found.note) == ("acme", "operator", "of Ada")
    assert found.expires_ms is not None
    assert 0 <= found.expires_ms - before - 90 * DAY_MS < DAY_MS
    assert text not in ran.err
    assert str(file) in ran.err


def test_list_shows_all_but_secrets(lipstage: Lipstage, file: Path) -> None:
    made = lipstage("keys", "create", "--tenant", "acme", "--json", "--file", file).json
    assert made["file"] == str(file)
    api_keys.write(file, [*api_keys.read(file), api_keys.make("b", "user", expires_ms=1)[0]])
    shown = lipstage("keys", "list", "--file", file)
    assert shown.out.splitlines()[1].split()[:3] == [made["id"], "acme", "user"]
    assert "(over)" in shown.out
    digest = api_keys.read(file)[0].sha256
    as_json = lipstage("keys", "list", "--json", "--file", file).out
    for secret in (made["key"], made["key"][-43:], digest):
        assert secret not in shown.out + as_json
    assert '"tenant": "acme"' in as_json


@pytest.mark.parametrize("by", ["id", "key"])
def test_revoked_key_is_gone_and_the_others_stay(lipstage: Lipstage, file: Path, by: str) -> None:
    first, second = (lipstage("keys", "create", "--json", "--file", file).json for _ in range(2))
    ran = lipstage("keys", "revoke", first[by], "--file", file)
    assert (ran.code, ran.out) == (0, f"revoked {first['id']}\n")
    assert [key.id for key in api_keys.read(file)] == [second["id"]]


def test_unknown_id_revokes_nothing(lipstage: Lipstage, file: Path) -> None:
    made = lipstage("keys", "create", "--json", "--file", file).json
    ran = lipstage("keys", "revoke", made["id"], "nobodyskey00", "--file", file)
    assert ran.code == 2
    assert "has no key nobodyskey00" in ran.err
    assert len(api_keys.read(file)) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--tenant", "Acme"), "--tenant 'Acme'"),
        (("--role", "root"), "one of user, operator"),
        (("--expires", "soon"), "--expires 'soon' is not a duration"),
        (("--note", "a\nb"), "--note"),
    ],
)
def test_wrong_option_is_named_and_makes_no_file(
    lipstage: Lipstage, file: Path, arguments: tuple[str, ...], words: str
) -> None:
    ran = lipstage("keys", "create", *arguments, "--file", file)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert not file.exists()


@pytest.mark.parametrize("command", [("create",), ("list",), ("revoke", "a")])
def test_file_with_a_wrong_line_is_kept_and_named(lipstage: Lipstage, file: Path, command: tuple[str, ...]) -> None:
    file.write_text("{}\n")
    ran = lipstage("keys", *command, "--file", file)
    assert (ran.code, ran.out) == (1, "")
    assert "line 1 of" in ran.err
    assert file.read_text() == "{}\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_takes_no_file_is_named(lipstage: Lipstage, file: Path) -> None:
    file.parent.chmod(0o500)
    ran = lipstage("keys", "create", "--file", file)
    file.parent.chmod(0o700)
    assert (ran.code, ran.out) == (1, "")
    assert "Permission denied" in ran.err


def test_file_that_is_a_folder_is_named(lipstage: Lipstage, tmp_path: Path) -> None:
    ran = lipstage("keys", "list", "--file", tmp_path)
    assert ran.code == 1
    assert "Is a directory" in ran.err


def test_default_file_is_that_of_the_stack(lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    assert "no keys in" in lipstage("keys", "list").err
    lipstage("keys", "create")
    own = LocalSettings().state / gateway.KEYS
    assert len(api_keys.read(own)) == 1
    monkeypatch.setenv(gateway.KEYS_VARIABLE, str(file))
    lipstage("keys", "create")
    assert len(api_keys.read(own)) == len(api_keys.read(file)) == 1
