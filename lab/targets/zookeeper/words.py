"""Four-letter words: what a server tells of itself to whoever asks at its client port."""

import socket

import msgspec

from lab.targets.zookeeper import HOST

ANSWER_BYTES_MAX = 1 << 16
TIMEOUT_S = 5.0
MODES = {"leader": "leader", "follower": "follower", "observer": "observer", "standalone": "leader"}


class Told(msgspec.Struct, frozen=True):
    """The answer to `srvr`."""

    role: str  # leader, follower, observer; looking: it does not serve
    zxid: int  # the last one that it applied; 0 if it does not serve


NOT_SERVING = Told("looking", 0)


def ask_srvr(port: int, timeout_s: float = TIMEOUT_S) -> Told:
    """A server that refuses, hangs up or says nothing in time does not serve."""
    try:
        with socket.create_connection((HOST, port), timeout_s) as connection:
            connection.sendall(b"srvr")
            answer = b""
            while len(answer) < ANSWER_BYTES_MAX and (part := connection.recv(ANSWER_BYTES_MAX)):
                answer += part
    except OSError:
        return NOT_SERVING
    return read_srvr(answer.decode(errors="replace"))


def read_srvr(answer: str) -> Told:
    fields = dict(line.split(": ", 1) for line in answer.splitlines() if ": " in line)
    mode, zxid = MODES.get(fields.get("Mode", "")), fields.get("Zxid", "")
    if mode is None or not zxid.startswith("0x"):
        return NOT_SERVING
    return Told(mode, int(zxid, 16))
