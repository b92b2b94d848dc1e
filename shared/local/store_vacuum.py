"""Has the local object store rewrite the files in which deleted objects still lie.

SeaweedFS deletes the content of an object in the background, which only marks it, and rewrites a file ("vacuum") when a
third of it is deleted. Until then the bytes are on the disk. Its own shell asks for it earlier, over gRPC: with
`up --secure` the master takes nothing else, and only from who has the stack's certificate.
"""

import subprocess
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from shared.local import store, store_security
from shared.local.errors import StackError
from shared.local.ports import HOST
from shared.local.stack_file import Stack, credentials_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ANSWER_S = 120.0
"""Time limit of one request; rewriting a file of 30 GB, the largest, takes longer and goes on all the same."""
SETTLED_S = 60.0
"""Time limit until what was deleted before is marked, and its file rewritten."""
TAIL_BYTES = 64 << 20
KEY = "up/vacuum"
COMMANDS = "lock\nvolume.vacuum -garbageThreshold=0\nunlock\n"
"""The lock keeps maintenance of SeaweedFS's own out."""


def vacuum(stack: Stack) -> bool:
    """Rewrite every file with a deleted object; whether the object store has done so.

    An object that is deleted last is marked last: when its bytes are gone, all others are marked. The request that
    removes its bytes may have rewritten other files before their objects were marked, so one more follows.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    token = uuid.uuid4().hex.encode()
    data = stack.state_dir / "store"
    s3 = store.client(stack.s3_endpoint_url, credentials_of(stack), stack.region)
    try:
        files = _deleted(s3, stack.bucket, token, data)
        deadline = time.monotonic() + SETTLED_S
        all_marked = False
        while files and time.monotonic() < deadline:
            _ask(stack)
            if all_marked:
                return True
            all_marked = not any(_ends_with(path, token) for path in files)
    except (BotoCoreError, ClientError, OSError, StackError, subprocess.SubprocessError):
        return False
    return False


def _deleted(s3: "S3Client", bucket: str, token: bytes, data: Path) -> list[Path]:
    """Write the token as an object and delete it; returns the files that hold it."""
    s3.put_object(Bucket=bucket, Key=KEY, Body=token)
    try:
        return [path for path in data.rglob("*.dat") if _ends_with(path, token)]
    finally:
        s3.delete_object(Bucket=bucket, Key=KEY)


def _ask(stack: Stack) -> None:
    """Raises OSError, StackError, SubprocessError."""
    master = f"{HOST}:{stack.ports['master']}.{stack.ports['master.grpc']}"
    command = (store.binary(), f"-config_dir={stack.state_dir / store_security.FOLDER}", "shell", f"-master={master}")
    subprocess.run(command, input=COMMANDS, capture_output=True, text=True, timeout=ANSWER_S, check=True)


def _ends_with(path: Path, token: bytes) -> bool:
    """Whether the token is near the end of the file, where it was written last."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return token in file.read()
    except FileNotFoundError:  # Rewritten: the new file takes its name in a moment.
        return True
