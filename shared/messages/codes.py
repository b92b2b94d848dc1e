"""Public codes of rejections, failures and warnings."""

from enum import StrEnum


class Code(StrEnum):
    """The meaning of a code never changes: clients match on it and dashboards count it."""

    # The request itself.
    INVALID_REQUEST = "INVALID_REQUEST"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    KEY_MISMATCH = "KEY_MISMATCH"
    ENGINE_UNAVAILABLE = "ENGINE_UNAVAILABLE"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    CONSENT_REQUIRED = "CONSENT_REQUIRED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"
    # The sender's right to speak for the tenant.
    TENANT_FORBIDDEN = "TENANT_FORBIDDEN"
    TENANT_UNSIGNED = "TENANT_UNSIGNED"
    TENANT_SIGNATURE_INVALID = "TENANT_SIGNATURE_INVALID"
    TENANT_SIGNATURE_EXPIRED = "TENANT_SIGNATURE_EXPIRED"
    # The objects that the request references.
    INPUT_NOT_FOUND = "INPUT_NOT_FOUND"
    INPUT_DIGEST_MISMATCH = "INPUT_DIGEST_MISMATCH"
    INPUT_TOO_LARGE = "INPUT_TOO_LARGE"
    INPUT_FORBIDDEN = "INPUT_FORBIDDEN"
    # The portrait.
    IMAGE_UNREADABLE = "IMAGE_UNREADABLE"
    IMAGE_TOO_LARGE = "IMAGE_TOO_LARGE"
    IMAGE_TOO_SMALL = "IMAGE_TOO_SMALL"
    NO_FACE = "NO_FACE"
    FACE_NOT_FOUND = "FACE_NOT_FOUND"
    FACE_TOO_SMALL = "FACE_TOO_SMALL"
    FACE_CUT_OFF = "FACE_CUT_OFF"
    ROTATED_PORTRAIT = "ROTATED_PORTRAIT"  # as a warning: turned upright
    EXTREME_POSE = "EXTREME_POSE"  # face in profile; as a warning: turned far to the side
    # The speech.
    AUDIO_UNREADABLE = "AUDIO_UNREADABLE"
    AUDIO_EMPTY = "AUDIO_EMPTY"
    AUDIO_TOO_SHORT = "AUDIO_TOO_SHORT"
    AUDIO_TOO_LONG = "AUDIO_TOO_LONG"
    # The accelerator.
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    # Internal failures: the record is dead-lettered.
    INTERNAL = "INTERNAL"
    CRASH_LOOP = "CRASH_LOOP"
    POISON = "POISON"
    ARTIFACT_MISSING = "ARTIFACT_MISSING"
    ARTIFACT_ALTERED = "ARTIFACT_ALTERED"
    ARTIFACT_REFUSED = "ARTIFACT_REFUSED"
    NO_SPACE = "NO_SPACE"
    OUTPUT_REFUSED = "OUTPUT_REFUSED"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    # A tenant's endpoint: the render is not concerned.
    WEBHOOK_FAILED = "WEBHOOK_FAILED"
    # Warnings: the job continues.
    NON_OPTIMAL_STEPS = "NON_OPTIMAL_STEPS"
    MULTIPLE_FACES = "MULTIPLE_FACES"
    LOW_CONFIDENCE_FACE = "LOW_CONFIDENCE_FACE"
    STRONG_POSE = "STRONG_POSE"  # replaced by the warning EXTREME_POSE; only in stored events
    OCCLUDED_MOUTH = "OCCLUDED_MOUTH"
    LOW_RESOLUTION = "LOW_RESOLUTION"
    SILENT_AUDIO = "SILENT_AUDIO"
    NO_SPEECH = "NO_SPEECH"
    NOISY_AUDIO = "NOISY_AUDIO"
    DURATION_CORRECTED = "DURATION_CORRECTED"


class Rejected(Exception):
    """The input of the user can't be rendered: the job ends with a ``rejected`` event, without a dead letter.

    ``field`` is the invalid field of the request, ``allowed`` the accepted range or set in words,
    ``retry_at_ms`` when the same request may be accepted (milliseconds since the epoch), where that depends on time.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        field: str | None = None,
        allowed: str | None = None,
        retry_at_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.allowed = allowed
        self.retry_at_ms = retry_at_ms
