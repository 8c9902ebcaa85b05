"""What a server hands on to the leader for its clients (zab.md 5.1; ZooKeeper: REQUEST)."""

from typing import Annotated

import msgspec

from lab.service.prepare import Prepared
from lab.zab.messages import Record


class Forwarded(Record, frozen=True):
    """Writes of one session on their way from the server it is attached to, to the leader."""

    session: int
    attachment: int
    requests: Annotated[list[Prepared], msgspec.Meta(min_length=1)]


encode_forwarded = msgspec.msgpack.Encoder().encode
decode_forwarded = msgspec.msgpack.Decoder(Forwarded).decode
