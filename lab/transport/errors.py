"""What goes wrong on a link."""


class CorruptFrameError(Exception):
    """Shared memory holds what no correct process writes there: this link must not be used any more."""


class SealError(Exception):
    """A key that cannot be used, or none where one is needed."""
