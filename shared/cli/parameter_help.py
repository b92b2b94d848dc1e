"""The help of commands that take ``--set``: ends with all names that it takes."""

from typing import Any

from typer.core import TyperCommand


class ParameterCommand(TyperCommand):
    """A command whose help lists the names that ``--set`` takes. They are read only when the help is printed."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        from shared.cli.parameters import Parameter, groups  # It imports the models of the messages.

        def rows(parameters: list[Parameter]) -> list[tuple[str, str]]:
            return [(one.name, one.text) for one in parameters]

        if self.rich_markup_mode is None:
            for title, parameters in groups().items():
                with formatter.section(title):
                    formatter.write_dl(rows(parameters))
            return
        # The look of typer's own panels, which are printed already.
        from rich.console import Console
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        console = Console(highlight=False)
        for title, parameters in groups().items():
            table = Table(box=None, show_header=False, expand=True, pad_edge=False)
            table.add_column(no_wrap=True, style="bold cyan")
            table.add_column(ratio=1)
            for name, text in rows(parameters):
                table.add_row(name, Text(text))
            console.print(Panel(table, title=title, title_align="left", border_style="dim"))
