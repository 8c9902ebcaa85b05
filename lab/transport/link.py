"""What a link is to whoever sends and receives over it: shared memory, or a session of datagrams, carries it."""

from collections.abc import Sequence
from typing import Protocol


class Channel(Protocol):
    """One duplex channel: frames arrive once, in order, or the channel ends."""

    @property
    def broken(self) -> bool:
        """Too much waited, and a frame was dropped; `clear_queue` ends it."""

    @property
    def bytes_sent(self) -> int: ...

    @property
    def frames_sent(self) -> int: ...

    def send(self, *parts: bytes) -> bool:
        """Add one frame made of `parts`; it leaves at the next `flush`.  False: too much waits, it was dropped.

        Raises ValueError for a frame that is longer than the channel's bound.
        """

    def receive(self) -> list[bytes]:
        """Every frame that has arrived, oldest first.  Raises CorruptFrameError."""

    def flush(self) -> bool:
        """Let what was sent leave; False if some of it waits for room.  Raises CorruptFrameError."""

    def has_input(self) -> bool: ...

    def wants_flush(self) -> bool: ...

    def clear_queue(self) -> None:
        """Drop the frames that wait, and accept frames again; the caller tells the other end what is missing."""


class Link(Protocol):
    """One end of a link between two incarnations of two processes."""

    @property
    def channels(self) -> Sequence[Channel]: ...

    def has_ended(self) -> bool:
        """Whether the other end was closed and everything it had sent was received."""

    def is_ending(self) -> bool:
        """Whether the other end was closed, though something may be left to receive."""

    def close(self) -> None:
        """End the link; the channels must not be used any more.  A second call does nothing."""


class SessionLink:
    """One session of datagrams as a link: its channels live as long as somebody receives from them.

    Its end is an event of the association that it belongs to, which also closes it.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        self.channels = channels

    def has_ended(self) -> bool:
        return False

    def is_ending(self) -> bool:
        return False

    def close(self) -> None:
        pass
