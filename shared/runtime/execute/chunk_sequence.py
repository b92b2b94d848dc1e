"""A chunked sequence as far as it is known: all of it, or what an attempt that still runs has stored."""

from collections.abc import Callable, Iterable
from threading import Lock

from shared.messages.chunks import RAW, FrameCodec
from shared.messages.task import RenderTask
from shared.storage.manifest import Chunk, ChunkManifest


class ChunksDiffer(Exception):
    """The manifest of the attempt that won names other chunks than those that were announced."""


class ChunkSequence:
    """The chunks of one role, in order. Thread-safe."""

    def __init__(self, chunks: Iterable[Chunk] = (), task: RenderTask | None = None, codec: FrameCodec = RAW) -> None:
        """``chunks`` are the known ones; all there are when ``task``, which names them, is given."""
        self._chunks = list(chunks)
        self._task = task
        self.codec = codec
        self._lock = Lock()
        self.on_change: Callable[[], None] = lambda: None
        """Called after each change, in the thread that makes it."""

    def __len__(self) -> int:
        """Number of known chunks."""
        return len(self._chunks)

    def __getitem__(self, index: int) -> Chunk:
        return self._chunks[index]

    @property
    def task(self) -> RenderTask | None:
        """The task that names the manifest of all chunks; None while chunks are still made."""
        return self._task

    @property
    def size(self) -> int:
        """Size of the known chunks, bytes."""
        return sum(chunk.ref.size for chunk in self._chunks[:])

    def add(self, index: int, chunk: Chunk) -> None:
        """Note that chunk ``index`` is stored. One that does not follow the last known one is ignored: the manifest
        will name it."""
        with self._lock:
            if self._task is not None or index != len(self._chunks):
                return
            self._chunks.append(chunk)
        self.on_change()

    def complete(self, manifest: ChunkManifest, task: RenderTask) -> None:
        """Note all chunks: the attempt has won, and ``task`` names its manifest. Raises ChunksDiffer."""
        with self._lock:
            known = tuple(self._chunks)
            if known != manifest.chunks[: len(known)] or (known and self.codec != manifest.codec):
                raise ChunksDiffer(f"the manifest of the {manifest.role} differs from the chunks that were announced")
            self._chunks = list(manifest.chunks)
            self.codec, self._task = manifest.codec, task
        self.on_change()
