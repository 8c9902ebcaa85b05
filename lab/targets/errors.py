"""What goes wrong with a load process's sessions; apart from them, as whatever makes sessions raises it."""


class OpeningError(Exception):
    """The sessions cannot be opened, or whoever makes their links is gone: one line."""
