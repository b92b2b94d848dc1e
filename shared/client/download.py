"""Downloads results: verified, and whole or not at all."""

import uuid
from contextlib import suppress
from pathlib import Path

from shared.client.connection import Connection
from shared.client.errors import ArtifactUnavailable, StoreUnreachable, TargetUnwritable
from shared.client.publishing import publish_over
from shared.messages.refs import ArtifactRef
from shared.storage.errors import ArtifactAltered, ArtifactMissing, ArtifactRefused, StoreUnavailable


def download(connection: Connection, ref: ArtifactRef, target: Path) -> None:
    """Fetch an artifact to ``target``, whose folder is created; the file appears when it is whole and verified.

    A regular file of that name is replaced; the new one keeps its mode. Raises ArtifactUnavailable, StoreUnreachable,
    TargetUnwritable, also for a target that is a link or not a regular file.
    """
    if target.is_symlink():
        raise TargetUnwritable(f"{target} is a link to {target.readlink()}", "name the file itself")
    if target.exists() and not target.is_file():
        raise TargetUnwritable(f"{target} exists and is not a regular file")
    temporary = target.parent / f".lipstage-{uuid.uuid4().hex}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        connection.artifacts.get(ref, temporary)
        publish_over(temporary, target)
    except (ArtifactMissing, ArtifactAltered) as e:
        raise ArtifactUnavailable(
            f"the file is no longer available: {e}", "it may have been purged; render it again", e.code
        ) from None
    except ArtifactRefused as e:
        raise ArtifactUnavailable(f"the file can't be fetched: {e}", code=e.code) from None
    except KeyError:
        raise ArtifactUnavailable(
            f"the file lies in the bucket {ref.bucket!r}, which is not configured here", "set LIPSTAGE_OUTPUT_BUCKETS"
        ) from None
    except StoreUnavailable as e:
        raise StoreUnreachable(str(e)) from None
    except OSError as e:
        raise TargetUnwritable(f"{target} can't be written: {e.strerror}") from None
    finally:
        with suppress(OSError):
            temporary.unlink()
