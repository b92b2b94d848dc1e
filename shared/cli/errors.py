"""How a command ends when it can't do what was asked: exit codes, errors, and advice for every public code."""

from collections.abc import Sequence
from enum import IntEnum

from shared.messages.codes import Code

START = "start one here with `lipstage up`, or name yours by KAFKA_BOOTSTRAP_SERVERS and AWS_ENDPOINT_URL_S3"
"""The hint where no deployment answers."""


class ExitCode(IntEnum):
    """Exit codes that scripts rely on."""

    DONE = 0
    FAILED = 1
    REJECTED = 2
    UNREACHABLE = 3
    GUARD = 4
    """Only of `lipstage dlq`: a guard left some dead letters alone."""
    INTERRUPTED = 130


class CliError(Exception):
    """Ends a command: ``message`` is one line on what is wrong, ``details`` are more lines, ``hint`` is what helps."""

    exit_code = ExitCode.FAILED

    def __init__(
        self, message: str, hint: str | None = None, details: Sequence[str] = (), exit_code: ExitCode | None = None
    ) -> None:
        super().__init__("\n".join([message, *details]))
        self.message = message
        self.hint = hint
        self.details = tuple(details)
        self.exit_code = exit_code or self.exit_code


class BadUse(CliError):
    """The user's files, options or request are at fault; nothing was sent."""

    exit_code = ExitCode.REJECTED


class Unreachable(CliError):
    """No broker or no store answers."""

    exit_code = ExitCode.UNREACHABLE


ADVICE: dict[Code, str] = {
    Code.INVALID_REQUEST: "Correct the named field and send the request again.",
    Code.MESSAGE_TOO_LARGE: "A request has at most 64 KiB; send media through storage, not in the record.",
    Code.KEY_MISMATCH: "Leave job_id out of the body, or use it as the record's key.",
    Code.CONSENT_REQUIRED: "Name the consent of the person who is shown: --set consent=ID, an id of your own records.",
    Code.ENGINE_UNAVAILABLE: "Choose an engine that this deployment runs; `lipstage config` lists them.",
    Code.QUOTA_EXCEEDED: "Wait as the message says; `lipstage quota` shows what is used. Then use another job id.",
    Code.EXPIRED: "The deadline passed before the work was done; allow more time with --set deadline_s=...",
    Code.CANCELLED: "The job was cancelled; submit it again if you want the video after all.",
    Code.TENANT_FORBIDDEN: "Name the tenant for which you may speak, and send to its topic where it has one.",
    Code.TENANT_UNSIGNED: "Send the request through the gateway, or set LIPSTAGE_TENANT_KEY: the client then signs.",
    Code.TENANT_SIGNATURE_INVALID: "Sign the very bytes that are sent, with a key that the services have.",
    Code.TENANT_SIGNATURE_EXPIRED: "Sign when you send, and check the clock of the machine that signs.",
    Code.INPUT_NOT_FOUND: "Upload the file to the inputs bucket first, and check the key.",
    Code.INPUT_DIGEST_MISMATCH: "The stored file is not the one the request describes; upload it again.",
    Code.INPUT_TOO_LARGE: "Use a smaller file.",
    Code.INPUT_FORBIDDEN: "Keys begin with the tenant's name; the service must be able to read the object as it is.",
    Code.IMAGE_UNREADABLE: "Use a whole JPEG, PNG, WebP, AVIF, HEIC, GIF or BMP picture.",
    Code.IMAGE_TOO_LARGE: "Scale the picture down to at most 65 megapixels.",
    Code.IMAGE_TOO_SMALL: "Use a larger picture.",
    Code.NO_FACE: "Use a picture in which one face is clearly visible from the front.",
    Code.FACE_NOT_FOUND: "Leave params.face at `largest`, or name a face that is in the picture.",
    Code.FACE_TOO_SMALL: "Use a picture in which the face is larger.",
    Code.FACE_CUT_OFF: "Use a picture that shows the whole face, with some room around it.",
    Code.ROTATED_PORTRAIT: "Turn the portrait upright in a picture editor and save it.",
    Code.EXTREME_POSE: "Use a picture in which the face looks towards the camera.",
    Code.AUDIO_UNREADABLE: "Use a whole WAV, AIFF, MP3, M4A, OGG, WebM or FLAC file.",
    Code.AUDIO_EMPTY: "The recording holds no sound samples; record it again.",
    Code.AUDIO_TOO_SHORT: "The speech must last at least 0.2 seconds.",
    Code.AUDIO_TOO_LONG: "Cut the speech into shorter parts, or raise the limit of the deployment.",
    Code.OUT_OF_MEMORY: "Use a smaller --set params.min_resolution, or a shorter speech.",
    Code.CRASH_LOOP: "The work failed several times; `lipstage logs` shows why. Other input may work.",
    Code.POISON: "An internal message was unreadable; it is kept on the dead-letter topic.",
    Code.ARTIFACT_MISSING: "Intermediate files are missing from storage; submit the job again.",
    Code.ARTIFACT_ALTERED: "Intermediate files were changed in storage; submit the job again.",
    Code.ARTIFACT_REFUSED: "A policy or an encryption key keeps the services from this job's objects in storage.",
    Code.OUTPUT_REFUSED: "The output bucket must exist and let the encode service write; then submit the job again.",
    Code.NO_SPACE: "The job needs more disk than there is: set LIPSTAGE_SCRATCH_DIR to a larger one and submit again.",
    Code.STORE_UNAVAILABLE: "The object store did not answer for too long; check it and submit the job again.",
}
"""What a user can do, for every code that can end a job; the advice for INTERNAL names the job (`outcome.report`)."""


def advice(code: Code | str) -> str | None:
    """What to do about a code; None for one that this version does not know, or a mere warning."""
    return ADVICE.get(Code(code)) if code in set(Code) else None
