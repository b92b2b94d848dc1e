"""The table of error answers: which are outages, and which concern one object."""

import pytest
from botocore.exceptions import ClientError

from shared.storage.answers import Answer, classify, in_words


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        # The object store as a whole.
        (500, "InternalError", Answer.OUTAGE),
        (500, "500", Answer.OUTAGE),
        (502, "Unknown", Answer.OUTAGE),
        (503, "SlowDown", Answer.OUTAGE),
        (504, "504", Answer.OUTAGE),
        (507, "XMinioStorageFull", Answer.OUTAGE),
        (429, "429", Answer.OUTAGE),
        (429, "TooManyRequests", Answer.OUTAGE),
        (400, "Throttling", Answer.OUTAGE),
        (400, "ThrottlingException", Answer.OUTAGE),
        (400, "KMS.ThrottlingException", Answer.OUTAGE),
        (400, "RequestLimitExceeded", Answer.OUTAGE),
        (403, "RequestThrottled", Answer.OUTAGE),
        (400, "RequestTimeout", Answer.OUTAGE),
        (408, "408", Answer.OUTAGE),
        (0, "Unknown", Answer.OUTAGE),
        # Credentials and clock.
        (401, "401", Answer.OUTAGE),
        (403, "InvalidAccessKeyId", Answer.OUTAGE),
        (403, "SignatureDoesNotMatch", Answer.OUTAGE),
        (400, "ExpiredToken", Answer.OUTAGE),
        (400, "InvalidToken", Answer.OUTAGE),
        (400, "TokenRefreshRequired", Answer.OUTAGE),
        (403, "AccountProblem", Answer.OUTAGE),
        (400, "AuthorizationHeaderMalformed", Answer.OUTAGE),
        (403, "RequestTimeTooSkewed", Answer.OUTAGE),
        (400, "RequestExpired", Answer.OUTAGE),
        # A retry may succeed.
        (400, "BadDigest", Answer.OUTAGE),
        (400, "IncompleteBody", Answer.OUTAGE),
        (409, "OperationAborted", Answer.OUTAGE),
        (403, "QuotaExceeded", Answer.OUTAGE),
        # Redirects that boto3 did not follow.
        (307, "TemporaryRedirect", Answer.OUTAGE),
        (301, "PermanentRedirect", Answer.BUCKET),
        (301, "301", Answer.BUCKET),
        (404, "NoSuchBucket", Answer.BUCKET),
        # One object.
        (404, "NoSuchKey", Answer.MISSING),
        (404, "404", Answer.MISSING),
        (403, "AccessDenied", Answer.OBJECT),
        (403, "InvalidObjectState", Answer.OBJECT),
        (400, "InvalidRequest", Answer.OBJECT),
        (400, "InvalidArgument", Answer.OBJECT),
        (400, "KMS.DisabledException", Answer.OBJECT),
        (400, "KMS.NotFoundException", Answer.OBJECT),
        (400, "KMS.KMSInvalidStateException", Answer.OBJECT),
        (405, "MethodNotAllowed", Answer.OBJECT),
        (400, "EntityTooLarge", Answer.OBJECT),
        (416, "InvalidRange", Answer.OBJECT),
        (410, "Gone", Answer.OBJECT),
        (451, "UnavailableForLegalReasons", Answer.OBJECT),
        (403, "SomethingNobodyKnowsYet", Answer.OBJECT),
        # Answers to HEAD.
        (400, "400", Answer.UNCLEAR),
        (403, "403", Answer.UNCLEAR),
        (405, "405", Answer.UNCLEAR),
        (403, "Unknown", Answer.UNCLEAR),
        (403, "", Answer.UNCLEAR),
    ],
)
def test_answer_is_classified_as_store_bucket_or_object(status: int, code: str, expected: Answer) -> None:
    assert classify(status, code) is expected


def error(status: int, code: str, message: str = "") -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "GetObject",
    )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error(400, "InvalidRequest", "The object was stored using a form of Server Side Encryption."), "(SSE-C)"),
        (error(400, "InvalidArgument", "Requests specifying Server Side Encryption with Customer"), "(SSE-C)"),
        (error(403, "InvalidObjectState", "not valid for the object's storage class"), "is archived and must be"),
        (
            error(400, "KMS.DisabledException", "arn:secret is disabled"),
            "needs an encryption key that is disabled",
        ),
        (error(400, "KMS.NotFoundException"), "needs an encryption key that does not exist"),
        (error(403, "AccessDenied", "user is not authorized to perform: kms:Decrypt"), "that this service may not use"),
        (
            error(403, "AccessDenied", "user arn:secret is not authorized"),
            "the object store denies access to this service",
        ),
        (error(405, "MethodNotAllowed"), "was deleted"),
        (error(418, "Tea<pot>\x1b[31m"), "answers 418 Teapot31m"),
        (error(403, "403"), "the object store denies access to this service"),
        (error(451, "451"), "answers 451"),
    ],
)
def test_reason_is_readable_and_quotes_nothing_of_the_store(answer: ClientError, words: str) -> None:
    text = in_words(answer)
    assert text.endswith(words) or words in text
    assert "secret" not in text
    assert text.isprintable()
