"""A thin layer over boto3's client for the three requests of which a hop consists: GET, HEAD and PUT of one object; and
for HEAD of a bucket, with which commands begin.

boto3 needs 1.0 to 1.6 ms of CPU for each; here it is 0.2 to 0.3 ms. This layer handles the answers of the normal path:
success, an object that does not exist, a condition that does not hold. For anything else (no answer, redirects, errors,
throttling) boto3 sends the request again, with its pauses, exceptions and attempts; all of them may be repeated.
"""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property, partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from botocore.exceptions import ClientError
from urllib3.exceptions import HTTPError

from shared.storage.client import ATTEMPTS, CONNECT_S, FROM_ENVIRONMENT, S3Access, connect, is_plain_loopback
from shared.storage.settings import StorageSettings
from shared.storage.signing import UNSIGNED_PAYLOAD, Keys, Signer
from shared.storage.streams import HashingReader

if TYPE_CHECKING:
    import boto3
    from botocore.credentials import ReadOnlyCredentials
    from mypy_boto3_s3 import S3Client

MAX_BODY_BYTES = 16 << 20
"""Larger bodies are left to boto3, which streams them: this layer holds a body in memory."""
MAX_ERROR_BYTES = 1 << 16
GET_OPTIONS = {"IfMatch": "if-match"}
PUT_OPTIONS = {
    "ContentType": "content-type",
    "ContentMD5": "content-md5",
    "Tagging": "x-amz-tagging",
    "IfNoneMatch": "if-none-match",
    "IfMatch": "if-match",
}
"""Arguments by the header that they become."""
METADATA = "x-amz-meta-"
FIELDS = {"content-type": "ContentType", "etag": "ETag", "content-range": "ContentRange"}
DEFAULT_PORTS = {"http": 80, "https": 443}
REFUSALS = 20
"""Answers 403 in a row of which one is logged: if boto3's requests succeed, every request is sent twice."""
_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")
_PLAIN_KEY = re.compile(r"(?!/)(?!.*(^|/)\.{0,2}(/|$)).+", re.DOTALL)
"""Keys without empty and dot segments, which parts of the HTTP stack might change."""
AMAZON = (".amazonaws.com", ".amazonaws.com.cn")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a quick request needs to know."""

    url: str
    region: str
    credentials: "Callable[[], Keys | ReadOnlyCredentials | None]"
    read_timeout_s: float
    ca_certs: str | None = None
    """The file of authorities, for HTTPS."""


def connect_directly(
    settings: StorageSettings,
    *,
    access: S3Access = FROM_ENVIRONMENT,
    attempts: int = ATTEMPTS,
    read_timeout_s: float = 10.0,
) -> "S3Client":
    """As ``connect``, with quick requests for single objects.

    Without them where boto3 knows more than this layer does: buckets in the host name, Amazon's own endpoints, proxies.
    Nor with one attempt, since boto3's would be a second one.
    """
    make = partial(connect, settings, access=access, attempts=attempts, read_timeout_s=read_timeout_s)
    if settings.s3_addressing != "path" or attempts == 1:
        return make()
    endpoint, client = _of_local_stack(access, read_timeout_s), None
    if endpoint is None:
        client = make()
        endpoint = _as_boto3_has_it(client, access.session(), read_timeout_s)
    if (urlsplit(endpoint.url).hostname or "").endswith(AMAZON) or _has_proxy(endpoint.url):
        return client or make()
    return cast("S3Client", DirectClient(endpoint, make if client is None else lambda: client, settings.s3_connections))


def _of_local_stack(access: S3Access, read_timeout_s: float) -> Endpoint | None:
    """The endpoint, where everything about it is given and none of it needs boto3's configuration."""
    if not (access.endpoint_url and access.region and access.access_key and access.secret_key):
        return None
    if not is_plain_loopback(access.endpoint_url):
        return None
    keys = Keys(access.access_key, access.secret_key)
    return Endpoint(access.endpoint_url, access.region, lambda: keys, read_timeout_s)


def _as_boto3_has_it(client: "S3Client", session: "boto3.session.Session", read_timeout_s: float) -> Endpoint:
    """The endpoint that boto3 has found in its configuration."""
    from botocore.httpsession import get_cert_path

    url, credentials = client.meta.endpoint_url, session.get_credentials()
    authorities = session._session.get_config_variable("ca_bundle")
    return Endpoint(
        url,
        client.meta.region_name,
        lambda: None if credentials is None else credentials.get_frozen_credentials(),
        read_timeout_s,
        get_cert_path(authorities or True) if urlsplit(url).scheme == "https" else None,
    )


def _has_proxy(url: str) -> bool:
    """Whether requests to the URL go through a proxy, by the environment."""
    parts = urlsplit(url)
    return parts.scheme in getproxies() and not proxy_bypass(parts.netloc)


class DirectClient:
    """A client whose requests for one object, and for the existence of a bucket, are quick; everything else is boto3's.

    Thread-safe. Answers and exceptions have the form of boto3's, as far as `shared.storage` uses them.
    """

    def __init__(self, endpoint: Endpoint, make_client: "Callable[[], S3Client]", connections: int) -> None:
        """``make_client`` makes the client that sends the other requests, with buckets in the path: boto3 takes 0.2 s
        to load and to make one."""
        url = urlsplit(endpoint.url)
        self._make_client = make_client
        self._path = url.path.rstrip("/")
        self._credentials = endpoint.credentials
        self._signs_payload = not is_plain_loopback(endpoint.url)
        # As HTTP clients send it, and proxies pass it on: without the scheme's own port.
        host = url.netloc.rpartition("@")[2].removesuffix(f":{DEFAULT_PORTS[url.scheme]}")
        self._signer = Signer(host, endpoint.region)
        self._refused = 0
        """Answers 403 in a row."""
        self._pool = urllib3.connection_from_url(
            f"{url.scheme}://{url.netloc}",
            maxsize=connections,
            timeout=urllib3.Timeout(connect=CONNECT_S, read=endpoint.read_timeout_s),
            retries=False,
            **({"ca_certs": endpoint.ca_certs} if endpoint.ca_certs else {}),
        )

    @cached_property
    def _client(self) -> "S3Client":
        # Two threads may make one each: either does.
        return self._make_client()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_object(self, **call: Any) -> Any:
        """As boto3's; with ``IfMatch`` or no further argument."""
        headers = _headers(call, GET_OPTIONS)
        answer = None if headers is None else self._send("GET", call, headers)
        if answer is None:
            return self._client.get_object(**call)
        return {**_fields(answer), "Body": Body(answer)}

    def head_object(self, **call: Any) -> Any:
        """As boto3's; without further arguments."""
        return self._head(call) or self._client.head_object(**call)

    def head_bucket(self, **call: Any) -> Any:
        """As boto3's; with the bucket alone."""
        return self._head(call) or self._client.head_bucket(**call)

    def _head(self, call: dict[str, Any]) -> dict[str, Any] | None:
        headers = _headers(call, {})
        answer = None if headers is None else self._send("HEAD", call, headers)
        if answer is None:
            return None
        answer.read()
        return _fields(answer)

    def put_object(self, **call: Any) -> Any:
        """As boto3's, for bodies of bytes and for files; one of at most ``MAX_BODY_BYTES`` is read in one piece."""
        headers, body = _headers(call, PUT_OPTIONS), call["Body"]
        data = None if headers is None else _in_memory(body)
        answer = None
        if headers is not None and data is not None:
            # One digest serves both the reference and the signature.
            known = body.digest.sha256 if isinstance(body, HashingReader) else None
            answer = self._send("PUT", call, headers, data, known)
        if answer is None:
            if not isinstance(body, bytes):
                body.seek(0)
            return self._client.put_object(**call)
        answer.read()
        return _fields(answer)

    def _send(
        self,
        method: str,
        call: dict[str, Any],
        headers: dict[str, str],
        body: bytes | None = None,
        body_sha256: str | None = None,
    ) -> urllib3.BaseHTTPResponse | None:
        """The answer to a request that succeeded, its body unread; None when boto3 is to send it. Raises ClientError
        for a missing object and for a condition that does not hold."""
        credentials = self._credentials()
        if credentials is None or not _PLAIN_KEY.fullmatch(call.get("Key", "bucket")):
            return None
        path = quote("/".join((self._path, call["Bucket"], *((call["Key"],) if "Key" in call else ()))), safe="/-_.~")
        digest = (body_sha256 or sha256(body or b"").hexdigest()) if self._signs_payload else UNSIGNED_PAYLOAD
        signed = self._signer.sign(method, path, headers, credentials, digest)
        try:
            # In blocks, each with a time-out of its own: that of one ``sendall`` would end it while data flows.
            sent = {} if body is None else {"content-length": str(len(body))}
            answer = self._pool.urlopen(
                method, path, body=None if body is None else io.BytesIO(body),
                headers={**signed, **sent, "accept-encoding": "identity"}, redirect=False,
                preload_content=False, decode_content=False,
            )  # fmt: skip
            if answer.status == 200:
                self._refused = 0
                return answer
            text = answer.read(MAX_ERROR_BYTES)
            answer.drain_conn()
        except (HTTPError, OSError):
            return None
        code = found.group(1).decode() if (found := _CODE.search(text)) else ""
        if (answer.status, code) in ((404, "NoSuchKey"), (412, "PreconditionFailed")) and method != "HEAD":
            fields: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": _metadata(answer)}
            raise ClientError(fields, {"GET": "GetObject", "PUT": "PutObject"}[method])
        if answer.status == 403:
            self._refused += 1
            if self._refused == REFUSALS:
                import structlog  # Most commands log nothing, and it takes as long to load as all of this.

                structlog.get_logger().warning("quick_requests_refused", host=self._pool.host, code=code)
        return None


class Body:
    """The content of an object as it arrives: what `shared` uses of boto3's. urllib3 raises ProtocolError for one that
    ends early."""

    def __init__(self, answer: urllib3.BaseHTTPResponse) -> None:
        self._answer = answer

    def read(self, size: int | None = None) -> bytes:
        """The next bytes, at most ``size``; all that are left without it, none at the end."""
        return self._answer.read(size)

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        """The content in pieces of at most this size."""
        while block := self.read(size):
            yield block

    def close(self) -> None:
        """Drop the connection, with what has not been read."""
        self._answer.close()


def _headers(call: dict[str, Any], names: dict[str, str]) -> dict[str, str] | None:
    """The headers of a call's arguments; empty ones are left out. None when one is unknown here, or not ASCII."""
    options = {name: value for name, value in call.items() if name not in ("Bucket", "Key", "Body", "Metadata")}
    if not options.keys() <= names.keys():
        return None
    headers = {names[name]: value for name, value in options.items() if value}
    headers |= {METADATA + name.lower(): value for name, value in call.get("Metadata", {}).items()}
    return headers if all(name.isascii() and value.isascii() for name, value in headers.items()) else None


def _in_memory(body: Any) -> bytes | None:
    """The whole body; None for one that is too large. A file is read once, so that one which computes its digest does
    so once."""
    if isinstance(body, bytes):
        return body if len(body) <= MAX_BODY_BYTES else None
    size = body.seek(0, io.SEEK_END)
    body.seek(0)
    if size > MAX_BODY_BYTES:
        return None
    data: bytes = body.read()
    return data


def _metadata(answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return {"HTTPStatusCode": answer.status, "HTTPHeaders": headers, "RetryAttempts": 0}


def _fields(answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    """The fields of an answer that `shared.storage` reads, by boto3's names."""
    metadata = _metadata(answer)
    headers: dict[str, str] = metadata["HTTPHeaders"]
    fields: dict[str, Any] = {ours: headers[name] for name, ours in FIELDS.items() if name in headers}
    with suppress(KeyError, ValueError):
        fields["ContentLength"] = int(headers["content-length"])
    with suppress(KeyError, TypeError, ValueError):
        fields["LastModified"] = parsedate_to_datetime(headers["last-modified"])
    own = {name.removeprefix(METADATA): value for name, value in headers.items() if name.startswith(METADATA)}
    return {**fields, "Metadata": own, "ResponseMetadata": metadata}
