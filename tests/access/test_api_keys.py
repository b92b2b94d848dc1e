"""API keys: what a file may hold, which texts are a key, and changes by several processes at a time."""

import hashlib
import json
import multiprocessing
import stat
from pathlib import Path

import pytest

from shared.access import api_keys
from shared.access.api_keys import KeyFileInvalid

NOW_MS = 1_800_000_000_000
WRITERS, EACH = 4, 5


def test_key_is_found_by_its_text_alone() -> None:
    key, text = api_keys.make("acme", "user")
    other, _ = api_keys.make("acme", "operator")
    keys = (other, key)
    assert api_keys.find(keys, text, NOW_MS) == key
    assert api_keys.find((other,), text, NOW_MS) is None
    secret = text.removeprefix(f"lipstage_{key.id}_")
    for wrong in ("", text[:-1], text + "A", text.upper(), f"lipstage_{other.id}_{secret}", secret, f" {text}"):
        assert api_keys.find(keys, wrong, NOW_MS) is None, wrong


def test_file_has_the_hash_of_a_secret_of_256_bits(tmp_path: Path) -> None:
    key, text = api_keys.make("acme", "user", note="of Ada")
    api_keys.write(tmp_path / "keys.jsonl", [key])
    stored = (tmp_path / "keys.jsonl").read_text()
    secret = text.rpartition(f"_{key.id}_")[2]
    assert secret not in stored
    assert json.loads(stored)["sha256"] == hashlib.sha256(secret.encode()).hexdigest()
    assert len(secret) == 43
    assert len({api_keys.make("acme", "user")[1] for _ in range(50)}) == 50


def test_key_ends_at_its_time() -> None:
    key, text = api_keys.make("acme", "user", expires_ms=NOW_MS)
    assert api_keys.find((key,), text, NOW_MS - 1) == key
    assert api_keys.find((key,), text, NOW_MS) is None


@pytest.mark.parametrize("tenant", ["", "Acme", "a/b", "_a", "a" * 64, "a\n"])
def test_name_that_is_no_tenant_gets_no_key(tenant: str) -> None:
    with pytest.raises(ValueError, match="not a tenant"):
        api_keys.make(tenant, "user")


def test_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = [api_keys.make("acme", "user", expires_ms=NOW_MS, note="ü")[0], api_keys.make("b", "operator")[0]]
    path = tmp_path / "new" / "keys.jsonl"
    api_keys.write(path, made)
    assert api_keys.read(path) == tuple(made)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("\n" + path.read_text() + "\n\n")
    assert api_keys.read(path) == tuple(made)


def test_change_keeps_the_mode_and_the_link_of_a_file(tmp_path: Path) -> None:
    path, link = tmp_path / "real.jsonl", tmp_path / "link.jsonl"
    path.touch()
    path.chmod(0o640)
    link.symlink_to(path)
    with api_keys.changing(link) as keys:
        keys.append(api_keys.make("acme", "user")[0])
    assert link.is_symlink()
    assert len(api_keys.read(path)) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def test_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    api_keys.write(path, [api_keys.make("acme", "user")[0]])
    before = path.read_bytes()
    with pytest.raises(RuntimeError), api_keys.changing(path) as keys:
        keys.clear()
        raise RuntimeError
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "short"}, "id: 12 of a-z"),
        ({"tenant": "A"}, "tenant"),
        ({"role": "root"}, "role: one of user, operator"),
        ({"sha256": "0"}, "sha256: 64 hex"),
        ({"expires_ms": "soon"}, "whole numbers"),
        ({"scope": "all"}, "scope"),
    ],
)
def test_line_that_is_no_key_is_named(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = tmp_path / "keys.jsonl"
    api_keys.write(path, [api_keys.make("acme", "user")[0], api_keys.make("acme", "user")[0]])
    first, second = path.read_text().splitlines()
    path.write_text(first + "\n" + json.dumps(json.loads(second) | change) + "\n")
    with pytest.raises(KeyFileInvalid, match=f"line 2 of .*{words}"):
        api_keys.read(path)


@pytest.mark.parametrize("line", ["{", "[]", "null", '{"id": "a"}', "\x00"])
def test_line_that_is_no_object_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_text(line)
    with pytest.raises(KeyFileInvalid, match="line 1 of"):
        api_keys.read(path)


def test_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "keys.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(KeyFileInvalid, match="is no text"):
        api_keys.read(tmp_path / "keys.jsonl")


def test_two_keys_with_one_id_are_refused(tmp_path: Path) -> None:
    key, _ = api_keys.make("acme", "user")
    api_keys.write(tmp_path / "keys.jsonl", [key, key])
    with pytest.raises(KeyFileInvalid, match="two keys with one id"):
        api_keys.read(tmp_path / "keys.jsonl")


def _add(path: Path) -> None:
    for _ in range(EACH):
        with api_keys.changing(path) as keys:
            keys.append(api_keys.make("acme", "user")[0])


def test_processes_that_add_keys_lose_none(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_add, args=(path,)) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert len(api_keys.read(path)) == WRITERS * EACH
