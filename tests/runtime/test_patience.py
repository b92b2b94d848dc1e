"""Waiting for a store that is away, and only for that."""

import pytest

from shared.runtime.patience import Patience
from shared.storage.errors import ArtifactMissing, NoSpace, StoreUnavailable


class Failing:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.mark.parametrize("error", [StoreUnavailable("away"), NoSpace("full")])
def test_a_passing_failure_is_waited_for(error: Exception) -> None:
    operation = Failing(error, error)
    assert Patience(30)(operation) == "done"
    assert operation.calls == 3


def test_what_waiting_does_not_mend_passes_at_once() -> None:
    operation = Failing(ArtifactMissing("gone"), ArtifactMissing("gone"))
    with pytest.raises(ArtifactMissing):
        Patience(30)(operation)
    assert operation.calls == 1


def test_patience_ends_with_the_last_error() -> None:
    with pytest.raises(StoreUnavailable, match="first"):
        Patience(0)(Failing(StoreUnavailable("first"), StoreUnavailable("second")))
