"""Why a video can't be judged."""


class Unjudgeable(Exception):
    """The files at hand don't allow it: ``str()`` says why, ``hint`` what helps."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
