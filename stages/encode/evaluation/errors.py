"""Why a video can't be evaluated."""


class EvaluationError(Exception):
    """The given files can't be evaluated: ``str()`` is the reason, ``hint`` a remedy or None."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
