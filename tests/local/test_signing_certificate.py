"""The local stack's signer: made once, private, renewed before its end."""

import datetime
from pathlib import Path

import pytest
from cryptography import x509

from shared.local import signing_certificate
from shared.runtime.execute.claim_signer import ClaimSigner


def test_certificate_is_made_once_and_readable_by_its_owner_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(signing_certificate.CERTIFICATE, raising=False)
    assert signing_certificate.prepare(tmp_path)
    assert not signing_certificate.prepare(tmp_path)
    found = signing_certificate.variables(tmp_path)
    files = [Path(found[name]) for name in (signing_certificate.CERTIFICATE, signing_certificate.PRIVATE_KEY)]
    before = [file.read_bytes() for file in files]
    assert files[1].stat().st_mode & 0o777 == 0o600
    signing_certificate.variables(tmp_path)
    assert [file.read_bytes() for file in files] == before
    assert ClaimSigner.load(*files).signing("urn:c2pa:x").algorithm == "es256"


def test_certificate_is_renewed_before_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = signing_certificate.load_or_create(tmp_path)
    first = x509.load_pem_x509_certificates((folder / "certificates.pem").read_bytes())[0]
    monkeypatch.setattr(signing_certificate, "_RENEWED", datetime.timedelta(days=400))
    signing_certificate.load_or_create(tmp_path)
    second = x509.load_pem_x509_certificates((folder / "certificates.pem").read_bytes())[0]
    assert first.serial_number != second.serial_number
    assert ClaimSigner.load(folder / "certificates.pem", folder / "private_key.pem")


def test_signer_of_the_caller_has_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(signing_certificate.CERTIFICATE, "chain.pem")
    monkeypatch.setenv(signing_certificate.PRIVATE_KEY, "key.pem")
    assert not signing_certificate.prepare(tmp_path)
    assert signing_certificate.variables(tmp_path) == {
        signing_certificate.CERTIFICATE: str(tmp_path / "chain.pem"),
        signing_certificate.PRIVATE_KEY: str(tmp_path / "key.pem"),
    }
    assert not (tmp_path / "c2pa").exists()
