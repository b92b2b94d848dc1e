"""The options by which the commands of `lipstage dlq` choose dead letters, declared once."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

Texts = list[str] | None


def _repeatable(option: str, about: str, metavar: str | None = None) -> Any:
    return typer.Option(option, metavar=metavar, help=f"{about}; repeatable.")


FILTERS: dict[str, Any] = {
    "stage": Annotated[Texts, _repeatable("--stage", "Only of this stage")],
    "code": Annotated[Texts, _repeatable("--code", "Only with this code, as POISON")],
    "failure_class": Annotated[Texts, _repeatable("--class", "Only of this failure class, as poison")],
    "tenant": Annotated[Texts, _repeatable("--tenant", "Only of this tenant")],
    "department": Annotated[Texts, _repeatable("--department", "Only of this department")],
    "version": Annotated[Texts, _repeatable("--version", "Only of services of this version")],
    "job": Annotated[Texts, _repeatable("--job", "Only of this job")],
    "since": Annotated[str | None, typer.Option("--since", help="Only since then: 30m, 2h, 7d, or an ISO 8601 time.")],
    "until": Annotated[str | None, typer.Option("--until", help="Only before then: as --since.")],
    "header": Annotated[Texts, _repeatable("--header", "Only with this header", "NAME=VALUE")],
    "exception": Annotated[
        str | None,
        typer.Option(
            "--exception",
            metavar="REGEX",
            help="Only where the exception's class, message or stack matches.",
        ),
    ],
    "state": Annotated[
        Texts,
        _repeatable(
            "--state",
            "Only in this state: new, replayed, parked, discarded, or replayed:END with END running, done, failed,"
            " rejected, cancelled, expired or purged",
        ),
    ],
}
IDS = Annotated[Texts, typer.Argument(metavar="[ID]...", help="Ids as `dlq ls` prints them; omitted: all that match.")]


def filtered(command: Callable[..., None], *, ids: bool = True) -> Callable[..., None]:
    """The command with the options of `FILTERS`, and ids as arguments; it gets their values as its first argument."""
    names = [*(["ids"] if ids else []), *FILTERS]

    def call(**values: Any) -> None:
        given = {name: values.pop(name) for name in names}
        command({name: value for name, value in given.items() if value}, **values)

    empty = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(name, empty, default=None, annotation=IDS if name == "ids" else FILTERS[name])
        for name in names
    ]
    parameters += [p.replace(kind=empty) for p in list(inspect.signature(command).parameters.values())[1:]]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    call.__doc__, call.__name__ = command.__doc__, command.__name__
    return call
