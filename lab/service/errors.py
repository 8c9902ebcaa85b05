"""What the service cannot go on with."""


class UnreadableError(Exception):
    """A history, its checksums right, holds what is no transaction or no tree: whoever wrote it had a bug.

    Nobody can tell what was meant, so the server stops instead of voting with a guess.
    """
