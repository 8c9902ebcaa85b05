"""What a walk ends with when something was wrong."""

from typing import Any


class InvariantError(AssertionError):
    """The protocol broke a promise; the message names the invariant and the states that clash."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant

    def __reduce__(self) -> tuple[Any, ...]:
        name = self.invariant
        return InvariantError, (name, str(self)[len(name) + 2 :])
