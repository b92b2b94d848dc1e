"""The rejections of unusable speech, with the messages that the user reads."""

from shared.messages.codes import Code, Rejected

MIN_SPEECH_S = 0.2
FORMATS = (
    "wav, aiff, au, flac, mp3, m4a or aac (AAC, ALAC), ogg or webm (Opus, Vorbis), mka, amr; "
    "the sound of an mp4, mov, 3gp or mkv video"
)
_CONVERT = "Convert it to FLAC, MP3 or 16-bit WAV."


def unreadable(message: str) -> Rejected:
    """AUDIO_UNREADABLE: not audio, of a kind that is not accepted, damaged or truncated."""
    return Rejected(Code.AUDIO_UNREADABLE, message, field="speech", allowed=FORMATS)


def other_format(name: str) -> Rejected:
    """AUDIO_UNREADABLE: a recording in a format that is known, but not accepted; ``name`` with its article."""
    return unreadable(f"The speech file is {name}, which is not accepted. {_CONVERT}")


def not_a_recording(name: str, advice: str = "") -> Rejected:
    """AUDIO_UNREADABLE: a file of another kind; ``name`` with its article, ``advice``: a sentence after a space."""
    return unreadable(f"The speech file is {name}, not a recording.{advice}")


def other_codec(name: str) -> Rejected:
    """AUDIO_UNREADABLE: the container is accepted, the codec in it is not."""
    return unreadable(f"The speech is coded as {name}, which is not accepted. {_CONVERT}")


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


def too_dense(limit_s: float, rate: int, channels: int) -> Rejected:
    """AUDIO_TOO_LONG: more samples than are decoded, although not longer than other recordings may be."""
    kind = f"{rate} Hz with {channels} channel{'s' if channels > 1 else ''}"
    message = f"The speech is longer than {limit_s:.0f} s at {kind}. Save it with 48000 Hz and one or two channels."
    return Rejected(
        Code.AUDIO_TOO_LONG, message, field="speech", allowed=f"{MIN_SPEECH_S:g}..{limit_s:.0f} s at {kind}"
    )


def too_complex(what: str) -> Rejected:
    """AUDIO_UNREADABLE: a file that takes far more work than a recording; ``what`` it has too much of."""
    return unreadable(f"The speech file has {what}. {_CONVERT}")


def too_many_tags(limit: int) -> Rejected:
    """AUDIO_UNREADABLE: more tags than are read."""
    return too_complex(f"more than {limit} tags")
