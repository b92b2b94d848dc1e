"""The rejections of unusable speech, with the messages that the user reads."""

from shared.messages.codes import Code, Rejected

MIN_SPEECH_S = 0.2
FORMATS = "wav (8, 16, 24, 32 bit or float), mp3, m4a or aac, ogg (vorbis or opus), flac"


def unreadable(message: str) -> Rejected:
    """AUDIO_UNREADABLE: not audio, of a kind that is not accepted, damaged or truncated."""
    return Rejected(Code.AUDIO_UNREADABLE, message, field="speech", allowed=FORMATS)


def truncated(present_s: float, stated_s: float) -> Rejected:
    """AUDIO_UNREADABLE: samples are missing."""
    return unreadable(f"The speech file is truncated or damaged: it has {present_s:.1f} s of {stated_s:.1f} s.")


def empty(message: str) -> Rejected:
    """AUDIO_EMPTY."""
    return Rejected(Code.AUDIO_EMPTY, message, field="speech")


def too_short(duration_s: float) -> Rejected:
    """AUDIO_TOO_SHORT."""
    message = f"The speech is {duration_s:.3f} s long; at least {MIN_SPEECH_S:g} s are needed."
    return Rejected(Code.AUDIO_TOO_SHORT, message, field="speech", allowed=f">= {MIN_SPEECH_S:g} s")


def too_long(max_s: float) -> Rejected:
    """AUDIO_TOO_LONG."""
    message = f"The speech is longer than {max_s:g} s."
    return Rejected(Code.AUDIO_TOO_LONG, message, field="speech", allowed=f"{MIN_SPEECH_S:g}..{max_s:g} s")
