"""The command `lipstage access`."""

from enum import StrEnum
from typing import Annotated

import typer

from shared.cli.app import OPERATE, app


class Format(StrEnum):
    """The forms in which rights are printed."""

    TABLE = "table"
    IAM = "iam"
    SEAWEEDFS = "seaweedfs"
    KAFKA_ACLS = "kafka-acls"
    STRIMZI = "strimzi"


@app.command(rich_help_panel=OPERATE)
def access(
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            help="table; iam: AWS policies (JSON); seaweedfs: its file of identities; kafka-acls: commands of Kafka's"
            " tool; strimzi: KafkaUser objects for kubectl apply.",
        ),
    ] = Format.TABLE,
    service: Annotated[
        str | None, typer.Option("--service", metavar="NAME", help="Of this service alone; with iam, one document.")
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option(
            help="The tenant whose objects, and topics of its own, a client may use; omitted: those of all tenants."
        ),
    ] = None,
    cluster: Annotated[str, typer.Option(help="With strimzi: the name of the Kafka object.")] = "kafka",
) -> None:
    """Print the rights that each service needs in Kafka and in the object store.

    By the settings of this environment: topic prefix, engines, tenancy, buckets. Nothing is changed.
    """
    from shared.cli import access as rights

    rights.show(format_, service, tenant, cluster)
