"""Whoever has the secret of an endpoint verifies its messages with the specification's own library."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from shared.messages.events import TERMINAL, TerminalEvent
from shared.messages.webhook import WebhookNotice
from stages.gateway.webhooks.message import body_of
from stages.gateway.webhooks.settings import WebhookSettings
from stages.gateway.webhooks.signing import PREFIX, Signer, signer_of

OLD, NEW = "the-old-key-of-32-bytes-and-more", "the-new-key-of-32-bytes-and-more"
ENDPOINT = "wh_" + "0" * 24


def failed(**fields: object) -> TerminalEvent:
    event = {"type": "failed", "job_id": "j", "tenant": "acme", "request_id": "r", "time_ms": 1_700_000_000_123,
             "stage": "face", "code": "INTERNAL", "message": "no", "labels": {"who": "anna"}}  # fmt: skip
    return TERMINAL.validate_python(event | fields)


def test_a_message_is_verified_by_its_secret_and_by_no_other() -> None:
    signer = Signer([NEW])
    body = body_of(WebhookNotice.of(failed(), ENDPOINT))
    headers = signer.headers("acme", ENDPOINT, "msg_1", datetime.now(UTC), body)
    secret = signer.secret("acme", ENDPOINT)
    assert secret.startswith(PREFIX)
    assert Webhook(secret).verify(body, headers)["type"] == "render.failed"
    others = [signer.secret("beta", ENDPOINT), signer.secret("acme", "wh_1"), Signer([OLD]).secret("acme", ENDPOINT)]
    for other in others:
        with pytest.raises(WebhookVerificationError):
            Webhook(other).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + " ", headers)
    old = signer.headers("acme", ENDPOINT, "msg_1", datetime.now(UTC) - timedelta(hours=1), body)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, old)


def test_while_a_key_is_replaced_both_secrets_verify() -> None:
    both, body = Signer([NEW, OLD]), "{}"
    headers = both.headers("acme", ENDPOINT, "msg_1", datetime.now(UTC), body)
    for key in (NEW, OLD):
        Webhook(Signer([key]).secret("acme", ENDPOINT)).verify(body, headers)
    assert both.secret("acme", ENDPOINT) == Signer([NEW]).secret("acme", ENDPOINT)


def test_the_body_has_the_state_by_the_names_of_the_gateway() -> None:
    body = json.loads(body_of(WebhookNotice.of(failed(), ENDPOINT)))
    assert body["timestamp"] == "2023-11-14T22:13:20.123Z"
    data = body["data"]
    assert (data["job_id"], data["tenant"], data["status"]) == ("j", "acme", "failed")
    assert data["terminal_event"]["code"] == "INTERNAL"
    assert "owner_hash" not in data
    cancelled = json.loads(body_of(WebhookNotice.of(failed(code="CANCELLED"), ENDPOINT)))
    assert cancelled["data"]["status"] == "cancelled"


def test_a_repeated_event_has_the_same_id_and_any_other_has_another() -> None:
    one = WebhookNotice.of(failed(), ENDPOINT)
    assert WebhookNotice.of(failed(time_ms=1), ENDPOINT).id == one.id
    others = [failed(replays=1), failed(job_id="k"), failed(tenant="beta"), failed(request_id="s")]
    assert one.id not in {WebhookNotice.of(other, ENDPOINT).id for other in others}
    assert WebhookNotice.of(failed(), "wh_" + "1" * 24).id != one.id
    assert WebhookNotice.model_validate_json(one.as_value()) == one


def test_a_short_key_is_refused_and_none_means_no_webhooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIPSTAGE_WEBHOOK_KEY", raising=False)
    assert signer_of(WebhookSettings()) is None
    for text in ("short", f"{NEW},short"):
        monkeypatch.setenv("LIPSTAGE_WEBHOOK_KEY", text)
        with pytest.raises(ValidationError, match="32 bytes"):
            WebhookSettings()
    monkeypatch.setenv("LIPSTAGE_WEBHOOK_KEY", f"{NEW}, {OLD}")
    monkeypatch.setenv("LIPSTAGE_WEBHOOK_ALLOW_NETWORKS", "10.0.0.0/8, ::1/128")
    signer = signer_of(WebhookSettings())
    assert signer is not None and signer.secret("t", "e") == Signer([NEW]).secret("t", "e")
    assert [str(one) for one in WebhookSettings().allow_networks] == ["10.0.0.0/8", "::1/128"]
