"""The page with API keys: signing in and out, and an operator who replays a dead letter."""

import uuid

from playwright.sync_api import expect

from shared.client.connection import Connection
from shared.messages.codes import Code
from tests.client.dead_letters.making import Made, send
from tests.client.services import Services, records
from tests.gateway.conftest import Gateway
from tests.gateway.page.conftest import Opens, says, status


def test_a_key_signs_in_and_stays_hidden_from_scripts(gateway: Gateway, opened: Opens) -> None:
    page = opened(gateway)
    field = page.get_by_label("API key")
    expect(field).to_be_focused()
    field.fill(gateway.keys["acme"][:-1] + "!")
    page.get_by_role("button", name="Sign in").click()
    says(page, "This API key is not valid.")
    field.fill(gateway.keys["acme"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Make a portrait speak")
    expect(page.get_by_role("link", name="Operations")).to_have_count(0)
    assert "lipstage_" not in page.evaluate("document.cookie + JSON.stringify(localStorage)")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Make a portrait speak")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    page.reload()
    expect(page.get_by_label("API key")).to_be_visible()


def test_a_user_who_opens_the_view_of_operators_is_told_so(gateway: Gateway, opened: Opens) -> None:
    page = opened(gateway, "/operations", key="acme")
    says(page, "Your API key does not allow this.")


def test_an_operator_replays_a_dead_letter(
    gateway: Gateway, quiet: Connection, services: Services, opened: Opens
) -> None:
    job = uuid.uuid4().hex
    services.event("accepted", job, tenant="acme", engine="puppet", labels={"title": "Replay me"})
    failed = {"stage": "face", "code": "CRASH_LOOP", "message": "the worker process died 3 times"}
    services.event("failed", job, tenant="acme", **failed)
    send(quiet, [Made(job, code=Code.CRASH_LOOP, fields={"tenant": "acme"})])

    page = opened(gateway, "/operations", key="acme operator")
    expect(page.get_by_role("row", name="audio")).to_contain_text("none running")
    page.get_by_label("Code").fill("crash_loop")
    # The list is made anew: what is opened before would be closed by it.
    with page.expect_response(lambda response: "code=CRASH_LOOP" in response.url.upper().replace("CODE=", "code=")):
        page.keyboard.press("Tab")
    letter = page.locator(".letters > li", has_text=job)
    expect(letter).to_contain_text("The render stopped the program several times.")
    letter.locator("summary").click()
    expect(letter.get_by_label("Record", exact=True)).to_contain_text(job)
    letter.get_by_role("checkbox").check()
    page.get_by_role("button", name="Plan a replay of 1").click()
    says(page, "1 of 1 would be sent back. Nothing was sent yet.")
    page.get_by_role("button", name="Send 1 back").click()
    says(page, "1 sent back.")
    expect(page.locator(".letters > li", has_text=job)).to_contain_text("replayed")
    assert any(record.key() == job.encode() for record in records(quiet, "render.face"))

    page.goto(f"{gateway.url}/#/renders/{job}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Replay me")
    status(page, "In line")
    for stage in ("audio", "face", "infer", "encode"):
        services.event("finished", job, tenant="acme", stage=stage, seconds=0.5, replays=1)
    services.done(job, tenant="acme", replays=1, labels={"title": "Replay me"})
    status(page, "Done")
