"""A POST goes to the address that was checked, under the name of the URL, once, and within its time."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trustme

from stages.gateway.webhooks.addresses import AddressPolicy
from stages.gateway.webhooks.sending import MAX_ANSWER, Answer, Poster
from tests.gateway.webhooks.receiver import receiving

NAME = "hooks.example"
LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]
HEADERS = {"webhook-id": "msg_1"}
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For what is not encrypted: to read the authorities takes a while."""


def policy(*answers: str) -> AddressPolicy:
    """The loopback is allowed; every host has these addresses."""
    return AddressPolicy(allow_http=True, networks=LOOPBACK, resolve=lambda _host, _port: answers or ("127.0.0.1",))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that sends these bytes to each client and keeps the connection; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        kept: list[socket.socket] = []

        def accept() -> None:
            try:
                while True:
                    connection, _ = listening.accept()
                    kept.append(connection)
                    connection.sendall(answer)
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            for one in kept:
                one.close()
            thread.join(10)


def test_the_connection_is_to_the_address_and_tls_and_host_have_the_name(authority: trustme.CA) -> None:
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert(NAME).configure_cert(server)
    authority.configure_trust(client)
    with receiving(server, name=NAME) as receiver:
        answer = Poster(policy("127.0.0.1"), 10, client).post(f"{receiver.url}?key=1", HEADERS, b"{}")
        (request,) = receiver.requests
        port = receiver.url.rpartition(":")[2].removesuffix("/hook")
    assert answer == Answer(status=204)
    assert (request.path, request.body) == ("/hook?key=1", b"{}")
    assert request.headers["host"] == f"{NAME}:{port}"
    assert (request.headers["webhook-id"], request.headers["content-type"]) == ("msg_1", "application/json")


def test_a_certificate_of_another_name_or_authority_is_not_trusted(authority: trustme.CA) -> None:
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("other.example").configure_cert(server)
    authority.configure_trust(client)
    with receiving(server, name=NAME) as receiver:
        for context in (client, None):
            answer = Poster(policy(), 10, context).post(receiver.url, HEADERS, b"{}")
            assert (answer.status, answer.is_accepted) == (None, False)
            assert "certificate verify failed" in answer.error
    assert receiver.requests == []


@pytest.mark.parametrize("status", [301, 307, 400, 410, 500, 503])
def test_no_redirect_is_followed_and_no_other_status_is_taken_for_success(status: int) -> None:
    with receiving() as receiver:
        receiver.answer = lambda _request, _number: status
        answer = Poster(policy(), 10, PLAIN).post(receiver.url, HEADERS, b"{}")
        assert len(receiver.requests) == 1
    assert (answer.status, answer.is_accepted, answer.is_gone) == (status, False, status == 410)


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with receiving() as receiver:
        assert Poster(policy(), 10, PLAIN).post(receiver.url, HEADERS, b"{}").is_accepted


def test_an_address_that_is_not_public_is_not_connected_to() -> None:
    with receiving() as receiver:
        refusing = AddressPolicy(allow_http=True, resolve=lambda _host, _port: ("127.0.0.1",))
        for url in (receiver.url, receiver.url.replace("127.0.0.1", NAME)):
            answer = Poster(refusing, 10, PLAIN).post(url, HEADERS, b"{}")
            assert answer.status is None and "not public" in answer.error
    assert receiver.requests == []


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1"]
)
def test_an_endpoint_that_does_not_end_its_answer_is_cut_off(answer: bytes) -> None:
    with answering(answer) as url:
        assert "did not answer within 0.2 s" in Poster(policy(), 0.2, PLAIN).post(url, HEADERS, b"{}").error


def test_a_tls_handshake_that_does_not_end_is_cut_off() -> None:
    with answering(b"\x16\x03\x03") as url:
        given = url.replace("http://", "https://")
        assert "did not answer within 0.2 s" in Poster(policy(), 0.2, PLAIN).post(given, HEADERS, b"{}").error


def test_of_a_long_answer_only_the_beginning_is_read() -> None:
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + bytes(2 * MAX_ANSWER)
    with answering(endless) as url:
        assert Poster(policy(), 10, PLAIN).post(url, HEADERS, b"{}").is_accepted


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 9999 no\r\n\r\n"])
def test_what_is_no_http_is_an_error_in_words(answer: bytes) -> None:
    with answering(answer) as url:
        found = Poster(policy(), 10, PLAIN).post(url, HEADERS, b"{}")
    assert found.status is None and found.error.startswith("no answer")


def test_nobody_there_and_no_such_host_are_errors_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert "refused" in Poster(policy(), 10, PLAIN).post(f"http://127.0.0.1:{port}/", HEADERS, b"").error

    def unknown(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    unresolved = AddressPolicy(allow_http=True, resolve=unknown)
    assert "can't be resolved" in Poster(unresolved, 10, PLAIN).post("http://nowhere.example/", HEADERS, b"").error
