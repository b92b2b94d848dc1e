"""Has the local object store rewrite the files in which deleted objects still lie.

SeaweedFS deletes the content of an object in the background, which only marks it, and rewrites a file ("vacuum") when a
third of it is deleted. Until then the bytes are on the disk.
"""

import json
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from shared.local import store
from shared.local.ports import HOST
from shared.local.stack_file import Stack, credentials_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ANSWER_S = 120.0
"""Time limit of a request; rewriting a file of 30 GB, the largest, takes longer and goes on all the same."""
SETTLED_S = 60.0
"""Time limit until what was deleted before is marked."""
POLL_S = 0.1
TRIES = 5
"""SeaweedFS ignores the request while it rewrites files by itself."""
TAIL_BYTES = 64 << 20
KEY = "up/vacuum"


def vacuum(stack: Stack) -> bool:
    """Rewrite every file with a deleted object; whether the object store has done so.

    An object that is deleted last shows when all others are marked, and then that its file was rewritten. False too
    for a stack of ``up --secure``, whose filer, volume server and master take requests of each other alone.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    token = uuid.uuid4().hex
    s3 = store.client(stack.s3_endpoint_url, credentials_of(stack), stack.region)
    try:
        file_id = _deleted(stack, s3, token)
        deadline = time.monotonic() + SETTLED_S
        while not _is_marked(stack, file_id):
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        for _ in range(TRIES):
            with urllib.request.urlopen(_url(stack, "master", "vol/vacuum?garbageThreshold=0"), timeout=ANSWER_S):
                pass
            if not _is_in_files(stack.state_dir / "store", file_id.partition(",")[0], token.encode()):
                return True
            time.sleep(POLL_S)
    except (BotoCoreError, ClientError, OSError, ValueError, KeyError):  # OSError: also an HTTPError.
        return False
    return False


def _deleted(stack: Stack, s3: "S3Client", token: str) -> str:
    """Write the token as an object and delete it; returns the id of its content, which names the file."""
    s3.put_object(Bucket=stack.bucket, Key=KEY, Body=token.encode())
    try:
        url = _url(stack, "filer", f"buckets/{stack.bucket}/{KEY}?metadata=true")
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
            (chunk,) = json.load(answer)["chunks"]
    finally:
        s3.delete_object(Bucket=stack.bucket, Key=KEY)
    return str(chunk["file_id"])


def _url(stack: Stack, part: str, path: str) -> str:
    return f"http://{HOST}:{stack.ports[part]}/{path}"


def _is_marked(stack: Stack, file_id: str) -> bool:
    try:
        with urllib.request.urlopen(_url(stack, "volume", file_id), timeout=ANSWER_S):
            return False
    except urllib.error.HTTPError as e:
        return e.code == 404


def _is_in_files(folder: Path, volume: str, token: bytes) -> bool:
    """Whether the token is near the end of the volume's file, where it was written last."""
    for path in folder.rglob(f"*{volume}.dat"):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            if token in file.read():
                return True
    return False
