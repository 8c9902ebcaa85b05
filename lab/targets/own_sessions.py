"""Opening a load process's sessions to the lab's own ensemble."""

import msgspec

from lab.client.client import Address
from lab.client.links import LinksError, open_endpoint
from lab.client.load_sessions import LoadSessions, decode_answers
from lab.targets.errors import OpeningError


class OwnSessions(LoadSessions):
    """`lab.targets.opening.Sessions`: errors are those that a load process knows."""

    decode_frame = staticmethod(decode_answers)

    def open(self, timeout_s: float) -> None:
        try:
            super().open(timeout_s)
        except LinksError as error:
            raise OpeningError(str(error)) from error

    def wait(self, until_ns: int) -> list[int]:
        try:
            return super().wait(until_ns)
        except LinksError as error:
            raise OpeningError(str(error)) from error

    def look(self) -> list[int]:
        try:
            return super().look()
        except LinksError as error:
            raise OpeningError(str(error)) from error


def open_own_sessions(connector: str, *, patience_ms: float, exact_timer: bool) -> OwnSessions:
    address = msgspec.json.decode(connector, type=Address)
    try:
        endpoint = open_endpoint(address.fd, address.wait)
    except LinksError as error:
        raise OpeningError(str(error)) from error
    if exact_timer:
        endpoint.use_timer()
    return OwnSessions(endpoint, address.servers, int(patience_ms * 1e6))
