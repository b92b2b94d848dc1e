"""The environment of a program of the stack."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.local import credentials
from shared.local.program import Program
from shared.local.supervision import LAUNCHER

SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


def started(
    tmp_path: Path, env: dict[str, str], *, own_store: bool, with_webhook_key: bool = False, **caller: str
) -> dict[str, str]:
    """The environment of a service that the supervisor starts; here this process is the supervisor."""
    credentials.load_or_create(tmp_path)
    pidfile = tmp_path / "supervisord.pid"
    pidfile.write_text(str(os.getpid()))
    program = Program("p", (sys.executable, "-c", SHOW), env, with_credentials=not own_store, with_cache_key=True,
                      with_webhook_key=with_webhook_key)  # fmt: skip
    file = program.write(tmp_path, cwd=tmp_path, secrets=tmp_path / credentials.FILE, supervisor=pidfile)
    result = subprocess.run([sys.executable, LAUNCHER, file], env=caller, capture_output=True, text=True, check=True)
    variables: dict[str, str] = json.loads(result.stdout)
    return variables


OTHER_STORE = {"AWS_ACCESS_KEY_ID": "other", "AWS_SESSION_TOKEN": "other", "AWS_PROFILE": "other"}


def test_local_store_gets_only_its_own_keys(tmp_path: Path) -> None:
    found = started(tmp_path, {"AWS_PROFILE": "other"}, own_store=False, **OTHER_STORE)
    created = credentials.load_or_create(tmp_path)
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]) == (created.access_key, created.secret_key)
    assert not {"AWS_SESSION_TOKEN", "AWS_PROFILE"} & set(found)
    assert found["LIPSTAGE_CACHE_KEY"] == created.cache_key


def test_external_store_keeps_the_callers_keys_and_gets_a_cache_key(tmp_path: Path) -> None:
    found = started(tmp_path, {}, own_store=True, **OTHER_STORE)
    assert OTHER_STORE.items() <= found.items()
    assert "AWS_SECRET_ACCESS_KEY" not in found
    assert found["LIPSTAGE_CACHE_KEY"] == credentials.load_or_create(tmp_path).cache_key


@pytest.mark.parametrize("name", ["LIPSTAGE_CACHE_KEY", "LIPSTAGE_CACHE_KEY_FILE"])
def test_cache_key_of_the_caller_is_kept(tmp_path: Path, name: str) -> None:
    found = started(tmp_path, {}, own_store=False, **{name: "other"})
    assert {key: value for key, value in found.items() if key.startswith("LIPSTAGE_CACHE")} == {name: "other"}


def test_hash_key_is_the_callers_or_the_generated_one(tmp_path: Path) -> None:
    generated = credentials.load_or_create(tmp_path).hash_key
    assert started(tmp_path, {}, own_store=True)["LIPSTAGE_HASH_KEY"] == generated
    assert started(tmp_path, {}, own_store=True, LIPSTAGE_HASH_KEY="k2:theirs")["LIPSTAGE_HASH_KEY"] == "k2:theirs"


def test_webhook_key_is_given_to_those_who_sign_alone(tmp_path: Path) -> None:
    generated = credentials.load_or_create(tmp_path).webhook_key
    assert "LIPSTAGE_WEBHOOK_KEY" not in started(tmp_path, {}, own_store=True)
    assert started(tmp_path, {}, own_store=True, with_webhook_key=True)["LIPSTAGE_WEBHOOK_KEY"] == generated
    theirs = started(tmp_path, {}, own_store=True, with_webhook_key=True, LIPSTAGE_WEBHOOK_KEY="theirs")
    assert theirs["LIPSTAGE_WEBHOOK_KEY"] == "theirs"
