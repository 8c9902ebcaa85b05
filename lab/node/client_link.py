"""The link to one load process, as the server sees it: one channel, frames of requests in and of replies out."""

from lab.service.events import ClientId
from lab.service.host import ClientFrame, Inbound
from lab.transport.link import Link


class ClientLink:
    """One end.  `client` is this process's own number for the link, not the load process's."""

    def __init__(self, key: tuple[str, int], client: ClientId, link: Link) -> None:
        """Takes over `link`, which has one channel."""
        self.key = key  # role and name of the load process, as in Attach
        self.client = client
        self._link = link
        (self._channel,) = link.channels
        self.send = self._channel.send  # False: the queue passed its bound, the link must close

    @property
    def bytes_sent(self) -> int:
        return self._channel.bytes_sent

    @property
    def frames_sent(self) -> int:
        return self._channel.frames_sent

    def flush(self) -> bool:
        """Publish what was sent; False if some of it waits for room.  Raises CorruptFrameError."""
        return self._channel.flush()

    def receive(self, arrived: list[Inbound], *, rare: bool) -> None:  # noqa: ARG002 - as PeerLink
        """Append what arrived.  Raises CorruptFrameError."""
        frames = self._channel.receive()
        if frames:
            arrived.extend([ClientFrame(self.client, frame) for frame in frames])

    def has_ended(self) -> bool:
        """Whether the other end closed the link."""
        return self._link.has_ended()

    def close(self) -> None:
        self._link.close()
