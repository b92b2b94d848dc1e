"""Which marks a job's video gets by the policy of its tenant, and what the signer signs."""

import base64
import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError
from structlog.testing import capture_logs

from shared.local import signing_certificate
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.runtime.execute.claim_signer import ClaimSigner
from shared.runtime.execute.provenance import Provenance, manifest_of
from shared.runtime.failures import WorkerDied
from shared.runtime.policy_settings import PolicySettings
from shared.slot import records
from shared.slot.marking import Marking
from stages.encode.provenance.manifest import embed_manifest
from tests.encode.c2pa_files import MANIFEST, local_signer, read
from tests.encode.test_mp4 import hum, i420, make


def task(tenant: str = "default", **params: Any) -> RenderTask:
    request = {"tenant": tenant, "portrait": {"key": "p"}, "speech": {"key": "s"}, "params": params}
    return RenderTask(job_id="j", request_id="r", request=RenderRequest.model_validate(request), submitted_ms=0)


def marking(monkeypatch: pytest.MonkeyPatch, of: RenderTask, **variables: str) -> Marking:
    for name, value in variables.items():
        monkeypatch.setenv(f"LIPSTAGE_{name}", value)
    return Provenance.open(PolicySettings()).marking(of)


def test_without_settings_a_video_has_the_aigc_field_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert marking(monkeypatch, task()) == Marking(producer="lipstage")


def test_request_may_ask_for_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    label = marking(monkeypatch, task(ai_label="zh"), LABEL_SECONDS="4", LABEL_POSITION="top-left").label
    assert label is not None
    assert (label.text, label.seconds, label.position, label.height) == ("AI生成", 4.0, "top-left", 0.05)


def test_policy_of_a_tenant_replaces_the_deployments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = signing_certificate.load_or_create(tmp_path)
    policies = {"acme": {"label": "zh", "provenance": ["c2pa"]}, "lab": {"provenance": []}}
    variables = {
        "TENANT_POLICIES": json.dumps(policies),
        "LABEL": "en",
        "C2PA_CERTIFICATE_FILE": str(folder / "certificates.pem"),
        "C2PA_PRIVATE_KEY_FILE": str(folder / "private_key.pem"),
    }
    found = {name: marking(monkeypatch, task(name), **variables) for name in ("default", "acme", "lab")}
    texts = {name: one.label.text if one.label else None for name, one in found.items()}
    assert texts == {"default": "AI-generated", "acme": "AI生成", "lab": "AI-generated"}
    signed = {name: (one.signing is not None, one.producer) for name, one in found.items()}
    assert signed == {"default": (True, "lipstage"), "acme": (True, None), "lab": (False, None)}
    assert found["default"].signing is not None
    assert found["default"].signing.manifest == manifest_of(task())
    assert manifest_of(task()) != manifest_of(task("acme"))


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("PROVENANCE", "c2pa,exif", "LIPSTAGE_PROVENANCE|provenance"),
        ("LABEL_TEXT", "日本", "characters without a glyph: 日"),
        ("LABEL_TEXT", "W" * 25, "25 columns; at most 24"),
        ("LABEL_SECONDS", "1", "greater than or equal to 2"),
        ("LABEL_HEIGHT", "0.04", "greater than or equal to 0.05"),
        ("TENANT_POLICIES", '{"Acme": {}}', "'Acme' is not a tenant"),
        ("TENANT_POLICIES", '{"acme": {"labels": "en"}}', "labels"),
        ("C2PA_CERTIFICATE_FILE", "x", "set both, or neither"),
    ],
)
def test_settings_that_can_not_be_used_are_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(f"LIPSTAGE_{variable}", value)
    with pytest.raises(ValidationError, match=reason):
        PolicySettings()


@pytest.mark.parametrize(("valid_days", "logged"), [(20, "c2pa_certificate_expires"), (None, "videos_not_signed")])
def test_operator_is_warned_of_what_is_not_signed(tmp_path: Path, valid_days: int | None, logged: str) -> None:
    signer = None
    if valid_days is not None:
        signer = signer_of(ec.generate_private_key(ec.SECP256R1()), tmp_path)
        signer.expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=valid_days)
    with capture_logs() as lines:
        Provenance(PolicySettings(), signer).warn()
    assert [line["event"] for line in lines] == [logged]


def test_c2pa_that_is_asked_for_needs_a_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTAGE_PROVENANCE", "c2pa")
    with pytest.raises(ValueError, match="LIPSTAGE_C2PA_CERTIFICATE_FILE is not set"):
        Provenance.open(PolicySettings())


def signer_of(key: Any, folder: Path, valid_days: int = 365, encrypted: bool = False) -> ClaimSigner:
    """A signer with a certificate of this key, by C2PA's profile."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = signing_certificate._certificate("authority", authority_key, None, authority_key)
    own = signing_certificate._certificate("signer", key, authority, authority_key)
    if valid_days < 0:
        past = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=valid_days)
        name = x509.Name([])
        builder = x509.CertificateBuilder(name, name, key.public_key(), 1, past - datetime.timedelta(days=1), past)
        own = builder.sign(authority_key, own.signature_hash_algorithm)
    chain = own.public_bytes(Encoding.PEM) + authority.public_bytes(Encoding.PEM)
    (folder / "chain.pem").write_bytes(chain)
    (folder / "ca.pem").write_bytes(authority.public_bytes(Encoding.PEM))
    protection = BestAvailableEncryption(b"x") if encrypted else NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
    return ClaimSigner.load(folder / "chain.pem", folder / "key.pem")


@pytest.mark.parametrize("algorithm", ["es256", "es384", "es512", "ed25519", "ps256"])
def test_every_algorithm_makes_a_signature_that_the_reader_accepts(tmp_path: Path, algorithm: str) -> None:
    curves = {"es256": ec.SECP256R1(), "es384": ec.SECP384R1(), "es512": ec.SECP521R1()}
    key: Any = ed25519.Ed25519PrivateKey.generate()
    if algorithm in curves:
        key = ec.generate_private_key(curves[algorithm])
    elif algorithm == "ps256":
        key = rsa.generate_private_key(65537, 2048)
    signer = signer_of(key, tmp_path)
    signing = signer.signing(MANIFEST)
    assert signing.algorithm == algorithm
    video = make(tmp_path / "v.mp4", i420((90, 90, 90), 2), hum(3840))
    embed_manifest(video, tmp_path / "s.mp4", "puppet", signing, lambda data: signer.sign(data, MANIFEST))
    assert read((tmp_path / "s.mp4").read_bytes(), (tmp_path / "ca.pem").read_text())[0] == "Trusted"


def test_key_or_certificate_that_can_not_sign_is_refused(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(ValueError, match="the certificate is valid from"):
        signer_of(key, tmp_path, valid_days=-1)
    with pytest.raises(ValueError, match="without a password"):
        signer_of(key, tmp_path, encrypted=True)
    with pytest.raises(ValueError, match="P-256, P-384"):
        signer_of(ec.generate_private_key(ec.SECP256K1()), tmp_path)
    signer_of(key, tmp_path)
    (tmp_path / "chain.pem").write_bytes((tmp_path / "ca.pem").read_bytes())
    with pytest.raises(ValueError, match="not the key of the first certificate"):
        ClaimSigner.load(tmp_path / "chain.pem", tmp_path / "key.pem")
    (tmp_path / "chain.pem").write_text("no certificate")
    with pytest.raises(ValueError, match="no PEM certificate"):
        ClaimSigner.load(tmp_path / "chain.pem", tmp_path / "key.pem")
    with pytest.raises(FileNotFoundError):
        ClaimSigner.load(tmp_path / "missing.pem", tmp_path / "key.pem")


def claim(tmp_path: Path, signer: ClaimSigner, manifest: str) -> bytes:
    """What the library asks a signer to sign."""
    asked: list[bytes] = []

    def noted(data: bytes) -> bytes:
        asked.append(data)
        return signer.sign(data, manifest)

    video = make(tmp_path / "v.mp4", i420((90, 90, 90), 2), hum(3840))
    embed_manifest(video, tmp_path / "s.mp4", "puppet", signer.signing(manifest), noted)
    (data,) = asked
    return data


def test_nothing_but_the_claim_of_the_job_is_signed(tmp_path: Path) -> None:
    """A worker that hostile media has taken over may ask for anything."""
    signer, _ = local_signer(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    data = claim(tmp_path, signer, MANIFEST)
    assert signer.sign(data, MANIFEST)
    refused = {
        "the claim of another job": (data, MANIFEST[:-1] + "1"),
        "another structure of COSE": (data.replace(b"Signature1", b"CounterSig", 1), MANIFEST),
        "another certificate": (claim(other, local_signer(other)[0], MANIFEST), MANIFEST),
        "a document": (b"I owe the bearer a fortune", MANIFEST),
        "too much": (data + b"x" * 40_000, MANIFEST),
    }
    for asked, manifest in refused.values():
        with pytest.raises(WorkerDied, match="something else"):
            signer.sign(asked, manifest)


def test_video_that_is_not_to_be_signed_is_not(tmp_path: Path) -> None:
    signer, _ = local_signer(tmp_path)
    request = records.Sign(data=base64.b64encode(b"claim"))
    for provenance in (Provenance(PolicySettings(), None), Provenance(PolicySettings(), signer)):
        with pytest.raises(WorkerDied, match="not to be signed"):
            provenance.sign(request, task(), Marking())
