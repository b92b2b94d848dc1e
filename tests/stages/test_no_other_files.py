"""A file that names other files or addresses: none of them is opened, by our code or by a native library."""

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.messages.codes import Code, Rejected
from stages.audio.decode import decode
from stages.face.decode import decode_portrait
from tests.audio.tones import record, tone
from tests.fuzz.media_parts import boxes
from tests.fuzz.mutation import replaced

_IN_OPEN = 0x20


class Watch:
    """Whether a file has been opened since the last look, by any code of this machine (inotify(7))."""

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK)
        assert self._fd >= 0, os.strerror(ctypes.get_errno())
        assert libc.inotify_add_watch(self._fd, os.fsencode(path), _IN_OPEN) >= 0

    def opened(self) -> bool:
        try:
            return bool(os.read(self._fd, 65_536))
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def secret(tmp_path: Path) -> Iterator[tuple[Path, Watch]]:
    """A whole recording that nobody was asked to read."""
    path = record(tmp_path / "secret.wav", tone(16_000, 1.0), 16_000, container="wav", codec="pcm_s16le",
                  sample_format="s16")  # fmt: skip
    watch = Watch(path)
    yield path, watch
    watch.close()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def external(tmp_path: Path, target: str) -> bytes:
    """A QuickTime file whose sound is in another file: a `url ` entry in its `dref` box (ISO/IEC 14496-12, 8.7.2)."""
    data = record(tmp_path / "inner.mov", tone(16_000, 1.0), 16_000, container="mov", codec="pcm_s16le",
                  sample_format="s16").read_bytes()  # fmt: skip
    (dref,) = [part for part in boxes(data) if data[part.start + 4 : part.start + 8] == b"dref"]
    text = target.encode() + b"\0"
    entry = struct.pack(">I4sI", 12 + len(text), b"url ", 0) + text
    return replaced(data, boxes(data), dref.content, dref.end, struct.pack(">II", 0, 1) + entry)


def sounds(tmp_path: Path, target: str) -> dict[str, bytes]:
    line = target.encode()
    return {
        "m3u": b"#EXTM3U\n#EXTINF:1,\n" + line + b"\n",
        "hls": b"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n" + line + b"\n#EXT-X-ENDLIST\n",
        "hls key": b'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="' + line + b'"\n#EXTINF:9,\n' + line + b"\n",
        "concat": b"ffconcat version 1.0\nfile '" + line + b"'\n",
        "dash": b'<?xml version="1.0"?><MPD><BaseURL>' + line + b"</BaseURL></MPD>",
        "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\nc=IN IP4 127.0.0.1\n",
        "asx": b'<asx version="3.0"><entry><ref href="' + line + b'"/></entry></asx>',
        "pls": b"[playlist]\nFile1=" + line + b"\nNumberOfEntries=1\n",
        "behind a tag": b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + b"#EXTM3U\n" + line + b"\n",
        "quicktime": external(tmp_path, target),
    }


def pictures(target: str) -> dict[str, bytes]:
    line = target.encode()
    return {
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="'
        + line + b'"/></svg>',
        "entity": b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "' + line + b'">]><svg>&x;</svg>',
        "mvg": b"push graphic-context\nimage over 0,0 0,0 '" + line + b"'\npop graphic-context\n",
        "msl": b'<image><read filename="' + line + b'"/></image>',
        "postscript": b"%!PS\n(" + line + b") (r) file\n",
        "path": line,
    }  # fmt: skip


@pytest.mark.parametrize("place", ["path", "file", "relative", "http", "subfile", "concat"])
def test_no_other_file_and_no_address_is_opened(
    tmp_path: Path, secret: tuple[Path, Watch], server: socket.socket, place: str
) -> None:
    path, watch = secret
    port = server.getsockname()[1]
    target = {
        "path": str(path), "file": f"file://{path}", "relative": path.name, "concat": f"concat:{path}",
        "subfile": f"subfile,,start,0,end,0,,:{path}", "http": f"http://127.0.0.1:{port}/secret.wav",
    }[place]  # fmt: skip
    given = tmp_path / "given"
    for name, data in (sounds(tmp_path, target) | pictures(target)).items():
        given.write_bytes(data)
        try:
            decode(given, tmp_path / "sound.f32", 600, lambda: None)
        except Rejected as as_sound:
            assert as_sound.code in (Code.AUDIO_UNREADABLE, Code.AUDIO_EMPTY), name
        else:
            assert name == "quicktime", "its samples are taken from the file itself, whatever it names"
        with pytest.raises(Rejected) as as_picture:
            decode_portrait(given)
        assert as_picture.value.code == Code.IMAGE_UNREADABLE, name
        assert not watch.opened(), name
        with pytest.raises(BlockingIOError):
            server.accept()


def test_an_opened_file_is_noticed(secret: tuple[Path, Watch]) -> None:
    path, watch = secret
    path.read_bytes()
    assert watch.opened()
