"""Keyed hashes of owners: stable under one key, found again after a new key is put in front, and never the name."""

import hashlib

import pytest

from shared.telemetry import pseudonyms
from shared.telemetry.pseudonyms import candidates, is_pseudonym, parse, pseudonym
from shared.telemetry.settings import TelemetrySettings

OLD, NEW = "k1:an-old-secret-of-the-tests", "k2:a-new-secret-of-the-tests"


def use(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(pseudonyms.VARIABLE, text)


def test_pseudonym_names_its_key_and_has_16_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, OLD)
    assert is_pseudonym(pseudonym("bob@example.com"))
    assert pseudonym("bob@example.com").startswith("k1:")
    assert pseudonym("bob@example.com") == pseudonym("bob@example.com") != pseudonym("eve@example.com")


def test_it_is_the_hmac_that_other_programs_compute() -> None:
    """An operator's script may compute it: RFC 2104 with SHA-256, of the UTF-8 text, the first 8 bytes in hex."""
    key, block = b"an-old-secret-of-the-tests".ljust(64, b"\0"), bytes
    inner = hashlib.sha256(block(b ^ 0x36 for b in key) + "Zoë".encode()).digest()
    outer = hashlib.sha256(block(b ^ 0x5C for b in key) + inner).hexdigest()
    assert parse(OLD).of("Zoë") == f"k1:{outer[:16]}"


def test_rotation_keeps_what_the_old_key_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, OLD)
    before = pseudonym("bob")
    use(monkeypatch, f"{NEW},{OLD}")
    after = pseudonym("bob")
    assert after.startswith("k2:")
    assert candidates("bob") == (after, before)
    use(monkeypatch, NEW)
    assert candidates("bob") == (after,), "a key that is removed is no longer searched for"


def test_secret_alone_decides_the_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = {parse(f"k1:{secret}").of("bob") for secret in ("a" * 16, "b" * 16)}
    assert len(digits) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("just-a-secret-of-the-tests", "entry 1 must be id:secret"),
        (f"{OLD},", "entry 2 must be id:secret"),
        ("K1:a-secret-of-the-tests", "entry 1 must be id:secret"),
        ("unset:a-secret-of-the-tests", "entry 1 must be id:secret"),
        ("k1:short", "the secret of k1 needs at least 16 bytes"),
        (f"{OLD},{OLD}x", "two keys have the same id"),
    ],
)
def test_unusable_key_is_refused_without_its_secret(text: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, text)
    with pytest.raises(ValueError, match=reason) as refused:
        TelemetrySettings()
    assert "secret-of-the-tests" not in str(refused.value.errors(include_input=False, include_url=False))
    with pytest.raises(ValueError, match=reason):
        pseudonym("bob")


def test_without_a_key_hashes_are_of_this_process_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(pseudonyms.VARIABLE)
    pseudonyms._random.cache_clear()
    first = pseudonym("bob")
    assert first == pseudonym("bob")
    assert first.startswith("unset:")
    assert caplog.text.count("LIPSTAGE_HASH_KEY is not set") == 1
    pseudonyms._random.cache_clear()
    assert pseudonym("bob") != first, "another process has another key"


def test_keys_are_not_printed() -> None:
    assert "secret" not in repr(parse(OLD)._keys)
