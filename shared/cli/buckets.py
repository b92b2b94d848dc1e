"""``lipstage buckets``: creates the buckets of the deployment and sets their lifecycle rules."""

from dataclasses import asdict

from shared.cli import console
from shared.cli.connection import deployment
from shared.cli.errors import CliError, Unreachable
from shared.client.connection import Connection
from shared.storage import bucket
from shared.storage.errors import StoreUnavailable


def apply(as_json: bool) -> None:
    """Create what is missing and print what changed. Raises CliError for a bucket that is refused, Unreachable."""
    connection = Connection(deployment(), "cli")
    try:
        done = bucket.ensure(connection.s3, connection.storage_settings)
    except bucket.BucketRefused as error:
        raise CliError(str(error), "see LIPSTAGE_BUCKET, LIPSTAGE_INPUT_BUCKETS, LIPSTAGE_OUTPUT_BUCKETS") from None
    except StoreUnavailable as error:
        raise Unreachable(str(error), "check AWS_ENDPOINT_URL_S3 and the credentials (AWS_*)") from None
    if as_json:
        console.emit_json(asdict(done))
        return
    rows = [(name, "created") for name in done.created]
    rows += [(name, "lifecycle rules set") for name in done.rules_changed]
    if rows:
        console.table(("BUCKET", "CHANGE"), rows)
    else:
        console.say("nothing to change")
