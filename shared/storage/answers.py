"""Classifies error answers of the object store: an outage, or an answer about one object. One table for all callers.

An outage concerns every object; it passes, or an operator repairs it. Operations are retried, and no job fails. An
answer about one object ends the job that named it, and must not block any other.
"""

from enum import Enum

from botocore.exceptions import ClientError


class Answer(Enum):
    """The subject of an error answer."""

    OUTAGE = "the object store as a whole: no capacity, wrong credentials, a wrong clock, damage in transit"
    BUCKET = "the bucket: it does not exist, or is in another region"
    MISSING = "the object: it does not exist"
    OBJECT = "the object: the object store refuses this one"
    UNCLEAR = "a status without a reason, as for HEAD: a GET of the object has one"


OUTAGE_STATUSES = frozenset({401, 407, 408, 421, 425, 426, 429, 499})
"""4xx statuses of an outage: credentials, time, load and the route. 5xx and redirects that boto3 does not follow are
outages, too."""

THROTTLING = (
    "SlowDown", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
    "RequestThrottledException", "TooManyRequests", "TooManyRequestsException", "RequestLimitExceeded",
    "LimitExceededException", "BandwidthLimitExceeded", "ServiceUnavailable", "InternalError", "Busy",
)  # fmt: skip
TIME = ("RequestTimeout", "RequestTimeoutException", "RequestTimeTooSkewed", "RequestExpired")
CREDENTIALS = (
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException", "InvalidToken",
    "TokenRefreshRequired", "InvalidClientTokenId", "UnrecognizedClientException", "AccountProblem", "NotSignedUp",
    "AuthorizationHeaderMalformed", "AuthorizationQueryParametersError", "AuthFailure", "IncompleteSignature",
    "InvalidSecurity", "MissingAuthenticationToken", "MissingSecurityHeader", "MissingSecurityElement",
)  # fmt: skip
TRANSIT = ("BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody")
"""The request was damaged in transit; a retry may help."""
CONTENTION = ("OperationAborted", "ConditionalRequestConflict")
QUOTA = ("QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull", "InsufficientStorage")
"""The bucket is full: an outage for the artifact bucket; for an output bucket see ``is_full``."""
OUTAGE_CODES = frozenset((*THROTTLING, *TIME, *CREDENTIALS, *TRANSIT, *CONTENTION, *QUOTA))

BUCKET_CODES = frozenset(
    {"NoSuchBucket", "PermanentRedirect", "InvalidBucketName", "IllegalLocationConstraintException"}
)


def status(error: ClientError) -> int:
    """HTTP status of an S3 error answer; 0 if it had none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def reason(error: ClientError) -> str:
    """S3 error code, as ``NoSuchKey``; a bare status for answers without a body, as to HEAD."""
    return str(error.response.get("Error", {}).get("Code", "Unknown"))


def meaning(error: ClientError) -> Answer:
    """The subject of the answer."""
    return classify(status(error), reason(error))


def classify(http_status: int, code: str) -> Answer:
    """The table. ``code`` is the S3 error code; the status as text, or ``Unknown``, where the answer had no body."""
    name = code.removeprefix("KMS.")  # S3 passes on answers of the key service: its throttling is throttling.
    if name in BUCKET_CODES or http_status in (301, 308):
        return Answer.BUCKET
    if name in OUTAGE_CODES or http_status in OUTAGE_STATUSES or not 400 <= http_status < 500:
        return Answer.OUTAGE
    if http_status == 404 and not code.startswith("KMS."):
        return Answer.MISSING
    if code in ("", "Unknown", str(http_status)):
        return Answer.UNCLEAR
    return Answer.OBJECT


def is_full(error: ClientError) -> bool:
    """Whether the bucket is full."""
    return reason(error) in QUOTA


def in_words(error: ClientError) -> str:
    """The reason why the object store refuses an object, as the end of a sentence that starts with its key.

    The text holds nothing confidential: neither bucket names nor the object store's own message.
    """
    code, message = reason(error), str(error.response.get("Error", {}).get("Message", "")).lower()
    name = code.rpartition(".")[2]
    if code.startswith("KMS.") or name.startswith("KMS") or (name == "AccessDenied" and "kms" in message):
        return _key_reason(name)
    if name == "InvalidObjectState":
        return "is archived and must be restored first"
    if "encrypt" in message or name.startswith(("ServerSideEncryption", "SSECustomer", "CustomerKey")):
        return "is encrypted with a customer's key (SSE-C), which this service does not have"
    if name in ("MethodNotAllowed", "405"):
        return "was deleted, or can't be read"
    if name in ("AccessDenied", "Forbidden", "AllAccessDisabled", "403"):
        return "is not accessible: the object store denies access to this service"
    plain = "".join(c for c in name if c.isascii() and c.isalnum())[:64]
    return f"is refused by the object store: it answers {' '.join(dict.fromkeys((str(status(error)), plain)))}"


def _key_reason(name: str) -> str:
    if "NotFound" in name:
        return "needs an encryption key that does not exist"
    if "Disabled" in name or "State" in name:
        return "needs an encryption key that is disabled"
    return "needs an encryption key that this service may not use"
