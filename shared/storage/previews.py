"""What attempts have published of a video before it was finished, in the user's output bucket."""

from shared.messages.request import RenderRequest
from shared.storage import keys
from shared.storage.protocols import Artifacts


def delete(store: Artifacts, request: RenderRequest, job: str, *, keep: str | None) -> None:
    """Delete the preview's segments of all attempts but ``keep``, such as those that were killed; with None also the
    playlist. Nothing for a request without a preview. Raises StoreUnavailable, ArtifactRefused.
    """
    output = request.output
    if output is None or not output.preview:
        return
    prefix = keys.preview_prefix(request.tenant, output.prefix, job)
    if keep is None:
        store.delete([keys.output(request.tenant, output.prefix, job, keys.PLAYLIST)], bucket=output.bucket)
    listed = store.list_prefix(prefix, bucket=output.bucket)
    store.delete([e.key for e in listed if not keep or not e.key.startswith(f"{prefix}{keep}/")], bucket=output.bucket)
