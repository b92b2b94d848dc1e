"""The options of commands that write a file: its name, and whether an existing file may be replaced."""

from typing import Annotated

import typer

# Text, not a path: a path has lost a final slash, and can't tell the file ./- from stdout.
Output = Annotated[
    str,
    typer.Option(
        "-o", "--output", metavar="FILE", help="The file to write; - for stdout. A device is written through."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]
