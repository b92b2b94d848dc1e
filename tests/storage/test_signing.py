"""The signature of a request is the one that botocore computes."""

import calendar
import time

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials

from shared.storage.signing import UNSIGNED_PAYLOAD, Signer

HOST = "store.example.com:9000"
REGION = "eu-central-1"


def _theirs(method: str, path: str, headers: dict[str, str], token: str | None, *, unsigned: bool) -> AWSRequest:
    request = AWSRequest(method, f"http://{HOST}{path}", headers=dict(headers), data=b"body")
    request.context["client_config"] = Config(s3={"payload_signing_enabled": not unsigned})
    request.context["has_streaming_input"] = True
    if unsigned:
        request.context["payload_signing_enabled"] = False
    S3SigV4Auth(Credentials("key", "secret", token), "s3", REGION).add_auth(request)
    return request


@pytest.mark.parametrize("token", [None, "session-token"])
@pytest.mark.parametrize("unsigned", [True, False])
@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/lipstage/jobs/t/j/audio.json", {}),
        ("GET", "/inputs/default/f%C3%BCr%20%2B%24.png", {"if-match": '"abc"'}),
        ("PUT", "/lipstage/a", {"if-none-match": "*", "x-amz-meta-sha256": "00", "content-type": "a/b;  c=d"}),
    ],
)
def test_signature_is_botocores(
    method: str, path: str, headers: dict[str, str], unsigned: bool, token: str | None
) -> None:
    theirs = _theirs(method, path, headers, token, unsigned=unsigned)
    now = calendar.timegm(time.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ"))
    payload = UNSIGNED_PAYLOAD if unsigned else theirs.headers["X-Amz-Content-SHA256"]
    signer = Signer(HOST, REGION)
    for _ in range(2):  # The second time with the signing key of the first.
        ours = signer.sign(method, path, headers, ReadOnlyCredentials("key", "secret", token), payload, now)
        assert ours["authorization"] == theirs.headers["Authorization"]
        assert ours.get("x-amz-security-token") == token


def test_signing_key_changes_with_day_and_secret() -> None:
    signer = Signer(HOST, REGION)
    first, other = ReadOnlyCredentials("key", "secret", None), ReadOnlyCredentials("key", "another", None)
    signed = [
        signer.sign("GET", "/a", {}, credentials, now=now)["authorization"]
        for credentials, now in ((first, 0), (first, 86_400), (other, 86_400))
    ]
    assert signed[1] == Signer(HOST, REGION).sign("GET", "/a", {}, first, now=86_400)["authorization"]
    assert signed[2] == Signer(HOST, REGION).sign("GET", "/a", {}, other, now=86_400)["authorization"]
    assert len(set(signed)) == 3
