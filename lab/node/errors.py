"""What ends a server process besides its disk."""


class NodeError(Exception):
    """The process was started or commanded wrongly; one line that says what was found and what was expected."""
