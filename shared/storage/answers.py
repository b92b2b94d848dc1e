"""What an error answer of the object store means: an outage, or something about one object. One table for all callers.

An outage concerns every object and passes, or needs an operator: retry, and end no job for it. The answer about one
object ends the one job that named it, and must not hold up any other.
"""

from enum import Enum

from botocore.exceptions import ClientError


class Answer(Enum):
    """What an error answer is about."""

    OUTAGE = "the store as a whole: no capacity, our credentials, the clock, damage in transit"
    BUCKET = "the bucket: it is not there, or is another region's"
    MISSING = "the object: it is not there"
    OBJECT = "the object: the store refuses this one"
    UNCLEAR = "a status without a reason, as HEAD gives it: a GET of the object tells"


OUTAGE_STATUSES = frozenset({401, 407, 408, 421, 425, 426, 429, 499})
"""Of 4xx: credentials, time, load and the way to the store. 5xx and redirects that boto3 does not follow are too."""

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
"""What we sent did not arrive as it was: sent again it may."""
CONTENTION = ("OperationAborted", "ConditionalRequestConflict")
QUOTA = ("QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull", "InsufficientStorage")
"""Of our own bucket; an output bucket that is full is its owner's (``is_full``)."""
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
    """What the answer is about."""
    return classify(status(error), reason(error))


def classify(http_status: int, code: str) -> Answer:
    """The table. ``code`` is the S3 error code; the status as text, or ``Unknown``, where the answer had no body."""
    name = code.removeprefix("KMS.")  # The key service's answers pass through: its throttling is throttling.
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
    """Whether the bucket takes no more."""
    return reason(error) in QUOTA


def in_words(error: ClientError) -> str:
    """Why the store refuses this object, as the end of a sentence that begins with its name.

    Says nothing that only the store's operator may know: neither buckets nor the store's own message.
    """
    code, said = reason(error), str(error.response.get("Error", {}).get("Message", "")).lower()
    name = code.rpartition(".")[2]
    if code.startswith("KMS.") or name.startswith("KMS") or (name == "AccessDenied" and "kms" in said):
        return _of_its_key(name)
    if name == "InvalidObjectState":
        return "is archived and must be restored first"
    if "encrypt" in said or name.startswith(("ServerSideEncryption", "SSECustomer", "CustomerKey")):
        return "is encrypted with a customer's key (SSE-C), which this service does not have"
    if name in ("MethodNotAllowed", "405"):
        return "was deleted, or is nothing that can be read"
    if name in ("AccessDenied", "Forbidden", "AllAccessDisabled", "403"):
        return "is closed to this service: the store denies access"
    plain = "".join(c for c in name if c.isascii() and c.isalnum())[:64]
    return f"is refused by the store: it answers {' '.join(dict.fromkeys((str(status(error)), plain)))}"


def _of_its_key(name: str) -> str:
    if "NotFound" in name:
        return "needs an encryption key that is gone"
    if "Disabled" in name or "State" in name:
        return "needs an encryption key that is disabled"
    return "needs an encryption key that this service may not use"
