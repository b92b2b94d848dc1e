"""The signature by which a record speaks for a tenant: what fits, what does not, and which keys are accepted."""

import hashlib
import hmac

import pytest

from shared.messages.codes import Code, Rejected
from shared.messages.tenant_signature import SIGNATURE, TENANT, Kind, SigningKey, parse_keys, sign, verify

GATEWAY, ACME = SigningKey("g1", b"g" * 32), SigningKey("acme/k1", b"a" * 32)
KEY, VALUE, NOW_MS = b"job", b'{"tenant": "acme"}', 1_795_478_400_000


def code(kind: Kind = "request", key: bytes | None = KEY, value: bytes | None = VALUE, **change: bytes | None) -> Code:
    """The code that a record gets which was signed as (request, KEY, VALUE) and then changed."""
    headers = dict[str, bytes | None](sign((GATEWAY,), "request", "acme", KEY, VALUE, NOW_MS)) | {
        name.replace("_", "-"): one for name, one in change.items()
    }
    with pytest.raises(Rejected) as raised:
        verify((GATEWAY, ACME), kind, key, value, headers.items())
    return raised.value.code


def test_signed_record_is_that_of_its_tenant() -> None:
    headers = sign((ACME, GATEWAY), "request", "acme", KEY, VALUE, NOW_MS)
    signed = verify((GATEWAY, ACME), "request", KEY, VALUE, headers)
    assert (signed.tenant, signed.issued_ms) == ("acme", NOW_MS)
    assert (
        verify((GATEWAY,), "cancel", KEY, None, sign((GATEWAY,), "cancel", "acme", KEY, None, 10**12)).tenant == "acme"
    )


def test_signature_is_what_the_page_says() -> None:
    """Another language must be able to make it: this is the description of docs/tenants.md, line by line."""
    lines = [
        "lipstage v1",
        "request",
        "g1",
        "acme",
        str(NOW_MS),
        *(hashlib.sha256(p).hexdigest() for p in (KEY, VALUE)),
    ]
    expected = hmac.new(GATEWAY.secret, "\n".join(lines).encode(), "sha256").hexdigest()
    assert dict(sign((GATEWAY,), "request", "acme", KEY, VALUE, NOW_MS)) == {
        TENANT: b"acme",
        SIGNATURE: f"v1;g1;{NOW_MS};{expected}".encode(),
    }


@pytest.mark.parametrize(
    "change",
    [
        {"value": VALUE + b" "},
        {"value": None},
        {"key": b"another"},
        {"kind": "cancel"},
        {"lipstage_tenant": b"beta"},
        {"lipstage_tenant": b"ACME"},
        {"lipstage_tenant": b"\xff"},
        {"lipstage_tenant": None},
        {"lipstage_signature": f"v1;g1;{NOW_MS + 1};".encode() + b"0" * 64},
        {"lipstage_signature": f"v1;unknown;{NOW_MS};".encode() + b"0" * 64},
        {"lipstage_signature": b"v1;g1"},
        {"lipstage_signature": b""},
    ],
)
def test_signature_fits_no_other_record(change: dict[str, object]) -> None:
    assert code(**change) == Code.TENANT_SIGNATURE_INVALID  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [None, b""])
def test_record_without_a_key_is_not_accepted(key: bytes | None) -> None:
    assert code(key=key) == Code.TENANT_UNSIGNED


@pytest.mark.parametrize("present", [(), (TENANT,), (SIGNATURE,)])
def test_record_without_both_headers_is_unsigned(present: tuple[str, ...]) -> None:
    headers = [(n, v) for n, v in sign((GATEWAY,), "request", "acme", KEY, VALUE, NOW_MS) if n in present]
    with pytest.raises(Rejected) as raised:
        verify((GATEWAY,), "request", KEY, VALUE, headers)
    assert raised.value.code == Code.TENANT_UNSIGNED


def test_second_header_of_a_name_is_not_accepted() -> None:
    """Which of two counts would depend on the reader."""
    headers = sign((GATEWAY,), "request", "acme", KEY, VALUE, NOW_MS)
    for more in ((TENANT, b"beta"), (TENANT.upper(), b"acme"), (SIGNATURE, b"v1")):
        with pytest.raises(Rejected) as raised:
            verify((GATEWAY,), "request", KEY, VALUE, [*headers, more])
        assert raised.value.code == Code.TENANT_SIGNATURE_INVALID


def test_key_of_a_tenant_speaks_for_no_other() -> None:
    class Forger(SigningKey):
        def signs_for(self, tenant: str) -> bool:
            return True

    headers = sign((Forger(ACME.id, ACME.secret),), "request", "beta", KEY, VALUE, NOW_MS)
    with pytest.raises(Rejected) as raised:
        verify((GATEWAY, ACME), "request", KEY, VALUE, headers)
    assert (raised.value.code, raised.value.allowed) == (Code.TENANT_FORBIDDEN, "acme")
    with pytest.raises(ValueError, match="no key signs for the tenant beta"):
        sign((ACME,), "request", "beta", KEY, VALUE, NOW_MS)


def test_rotation_accepts_both_keys_and_signs_with_the_first() -> None:
    new = SigningKey("g2", b"n" * 32)
    old_headers = sign((GATEWAY,), "request", "acme", KEY, VALUE, NOW_MS)
    assert verify((new, GATEWAY), "request", KEY, VALUE, old_headers).tenant == "acme"
    assert dict(sign((new, GATEWAY), "request", "acme", KEY, VALUE, NOW_MS))[SIGNATURE].startswith(b"v1;g2;")
    with pytest.raises(Rejected):
        verify((new,), "request", KEY, VALUE, old_headers)


def test_age_is_measured_to_the_brokers_time_in_both_directions() -> None:
    signed = verify((GATEWAY,), "request", KEY, VALUE, sign((GATEWAY,), "request", "acme", KEY, VALUE, NOW_MS))
    fresh = [signed.is_fresh(NOW_MS + ms, 300) for ms in (-300_001, -300_000, 0, 300_000, 300_001)]
    assert fresh == [False, True, True, True, False]


def test_keys_are_read_from_commas_or_lines() -> None:
    text = f"g1:{'g' * 32}, acme/k1:{'a' * 32}"
    assert parse_keys(text) == parse_keys(text.replace(", ", "\n") + "\n") == (GATEWAY, ACME)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "there is no key"),
        ("no-colon", "entry 1 must be id:secret"),
        (f"K1:{'x' * 32}", "entry 1 must be id:secret"),
        (f"a/b/c:{'x' * 32}", "entry 1 must be id:secret"),
        ("k1:secret-text", "the secret of k1 needs at least 32 bytes"),
        (f"k1:{'x' * 32},k1:{'y' * 32}", "two keys have the same id"),
    ],
)
def test_faulty_keys_are_explained_without_their_secret(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as raised:
        parse_keys(text)
    assert "secret-text" not in str(raised.value)
    assert "x" * 32 not in repr(SigningKey("k1", b"x" * 32))
