"""The terminal event of a purged job: what stays of it."""

from shared.messages.events import Done, Failed, RejectedEvent, TerminalEvent

NO_SHA256 = "0" * 64
"""In place of a digest."""


def without_user_data(event: TerminalEvent) -> TerminalEvent:
    """The event with the same type, id and time, and without labels, owner, consent, messages and digests of media."""
    nobody: dict[str, object] = {"labels": {}, "owner_hash": None, "consent": None}
    match event:
        case Done():
            nothing = {"sha256": NO_SHA256, "size": 0}
            video, poster = event.video.model_copy(update=nothing), event.poster.model_copy(update=nothing)
            return event.model_copy(update={**nobody, "warnings": (), "video": video, "poster": poster})
        case RejectedEvent():
            text = {"message": "The job was purged.", "field": None, "allowed": None}
            return event.model_copy(update={**nobody, **text})
        case Failed():
            return event.model_copy(update={**nobody, "message": "The job was purged."})
