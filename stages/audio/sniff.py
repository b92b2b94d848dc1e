"""Detects the container of a file by its content; the user's file name is not trusted.

The result names the one libav demuxer that may read the file, so a playlist, a picture or an exotic format never
reaches its demuxer. Lengths that libav silently corrects to the present bytes are read here, so that a truncated file
is distinguished from a short one.
"""

from pathlib import Path
from typing import BinaryIO

from stages.audio.aiff import is_aiff, read_aiff, read_au
from stages.audio.container import Container
from stages.audio.flac import require_few_tags
from stages.audio.matroska import EBML, read_matroska
from stages.audio.mp4 import is_mp4, mp4_is_cut
from stages.audio.mp4_index import require_simple_index
from stages.audio.mpeg_frames import is_adts, is_mp3, stated_seconds
from stages.audio.ogg import ogg_is_cut
from stages.audio.other_formats import guessed, recognised
from stages.audio.rejections import empty, unreadable
from stages.audio.tags import find_frames, require_few_inner_tags, skip_tags
from stages.audio.wav import is_wav, read_wav

_HEAD_BYTES = 64 * 1024


def sniff(path: Path) -> Container:
    """Identify an audio file by its first bytes.

    Raises Rejected: AUDIO_EMPTY for a file of no bytes, AUDIO_UNREADABLE for anything that is not an allowed format.
    """
    size = path.stat().st_size
    if size == 0:
        raise empty("The speech file is empty.")
    with path.open("rb") as file:
        tags = skip_tags(file)
        file.seek(tags.end)
        head = file.read(_HEAD_BYTES)
        container = _by_signature(file, head, tags.end, size)
        if container is not None:
            return container
        rejection = recognised(head)
        if rejection is not None:
            raise rejection
        found = find_frames(file, tags)
        if found is not None:
            return _mpeg(file, *found)
    raise guessed(head) or unreadable("The speech file is not an audio file of a known format.")


def _by_signature(file: BinaryIO, head: bytes, start: int, size: int) -> Container | None:
    """The container of a file whose sound begins with ``head`` at ``start``; None when nothing at its start tells."""
    container: Container | None = None
    if is_wav(head):
        container = read_wav(file, start, size)
    elif is_aiff(head):
        container = read_aiff(file, start, size)
    elif head[:4] == b".snd":
        container = read_au(file, start, size)
    elif head[:4] == b"fLaC":
        require_few_tags(file, start)
        container = Container("flac", start, states_length=True)
    elif head[:4] == b"OggS":
        container = Container("ogg", start, missing=float(ogg_is_cut(file, start, size)))
    elif head[:4] == EBML:
        container = read_matroska(file, start, size)
    elif recognised(head) is None and is_mp4(file, start, size):
        require_simple_index(file, start, size)
        missing = float(mp4_is_cut(file, start, size))
        container = Container("mp4", start, states_length=True, missing=missing)
    elif head[:6] == b"#!AMR\n" or head[:9] == b"#!AMR-WB\n":
        container = Container("amr", start)
    elif is_mp3(head):
        container = _mpeg(file, "mp3", start)
    elif is_adts(head):
        container = _mpeg(file, "aac", start)
    return container


def _mpeg(file: BinaryIO, demuxer: str, start: int) -> Container:
    if demuxer != "mp3":
        require_few_inner_tags(file, start)
        return Container(demuxer, start)
    file.seek(start)
    return Container(demuxer, start, stated_s=stated_seconds(file.read(_HEAD_BYTES), 0))
