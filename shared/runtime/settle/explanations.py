"""What is wrong with a record that becomes a dead letter, and the next step: for the user, and for the operator."""

from shared.messages.codes import Code
from shared.messages.events import DeadLetterRef
from shared.messages.tiers import Tier
from shared.runtime.disposition import FailureReason
from shared.telemetry.scrubbing import scrubbed

AGAIN = "Submit the request again with another job id."
TO_OPERATOR = "Report the job id to the operator of this deployment."
STACK = "The header __dlq.errors.exception.stacktrace names the place in the code."

OPERATOR_STEPS = {
    Code.POISON: "Compare the versions of the services that write and read the topic, and look for other producers.",
    Code.ARTIFACT_MISSING: "Check what deletes objects of the artifact bucket: lifecycle rules, a purge of the job.",
    Code.ARTIFACT_ALTERED: "Check what else writes to the artifact bucket.",
    Code.ARTIFACT_REFUSED: "Check the policy and the encryption keys of the artifact bucket.",
    Code.STORE_UNAVAILABLE: "Check the disks of the object store: it answers for other objects.",
    Code.WEBHOOK_FAILED: "Ask the tenant whether its endpoint works; then replay the dead letter. The render is done.",
    Code.OUTPUT_REFUSED: "Check alias, policy and space of the output bucket.",
    Code.ENGINE_UNAVAILABLE: "Create the topic with `lipstage topics apply`, and start the engine's service.",
    Code.CRASH_LOOP: "See `worker_died` in the log of the stage: limits of memory and time, the media of the job.",
    Code.NO_SPACE: "Give the scratch folder a larger disk (LIPSTAGE_SCRATCH_DIR).",
}
"""For every other code: the place in the code."""
USER_STEPS = {
    Code.POISON: AGAIN,
    Code.ARTIFACT_MISSING: AGAIN,
    Code.ARTIFACT_ALTERED: AGAIN,
}
"""For every other code: the operator."""


def for_operator(reason: FailureReason) -> str:
    """What is wrong and what an operator checks; goes into the dead letter."""
    return f"{_sentence(reason.message)} {OPERATOR_STEPS.get(reason.code, STACK)}"


def for_user(reason: FailureReason, stage: str, dead_letter: DeadLetterRef) -> str:
    """What is wrong, what the user does, and the command that shows the dead letter; goes into the job's ``failed``
    event.

    The text of an unexpected exception is not repeated: it may quote media or settings.
    """
    what = f"{reason.exception or 'error'} in the code of the stage" if reason.code is Code.INTERNAL else reason.message
    step = USER_STEPS.get(reason.code, TO_OPERATOR)
    shown = f"Its record is kept: `lipstage dlq show {dead_letter.id}`."
    return f"The {stage} stage failed: {_sentence(what, capital=False)} {step} {shown}"


def for_retry(reason: FailureReason, stage: str, tier: Tier) -> str:
    """What failed and when the stage tries again; goes into the job's ``retrying`` event. The text of an unexpected
    exception is not repeated."""
    what = f"{reason.exception or 'error'} in the code of the stage" if reason.code is Code.INTERNAL else reason.message
    return f"The {stage} stage failed: {_sentence(what, capital=False)} It tries again in {tier.name}."


def _sentence(text: str, *, capital: bool = True) -> str:
    clean = scrubbed(text).strip().rstrip(".") or "unknown reason"
    return f"{clean[:1].upper()}{clean[1:]}." if capital else f"{clean}."
