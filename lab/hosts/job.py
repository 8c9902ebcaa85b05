"""`python -m lab.hosts.job FD`: one measurement of a sweep, on this host, in a folder that the agent made for it.

It runs the very command that the driver runs where there is only one machine, and says what came of it.  Its channel's
end, like its parent's, ends the measurement.
"""

import contextlib
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

import msgspec

from lab.bench.child import run_child
from lab.bench.ledger import last_words
from lab.bench.lifeline import Interrupted, die_with_parent, interruptible
from lab.transport.control import ControlSocket

SAID_BYTES_MAX = 4096


class Work(msgspec.Struct, frozen=True):
    """What to run: arguments of Python; `folder` gets records and pyperf's files, as a run's folder does."""

    arguments: list[str]
    folder: str


class Outcome(msgspec.Struct, frozen=True):
    """The command's status and last words, and the files that it left, relative to the folder."""

    status: int
    said: str
    files: list[str]


def main(fd: int) -> int:
    parent = os.getppid()
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a worker that was started in the background ignores it
    channel = ControlSocket.adopt(fd)
    received = channel.receive()
    if received is None:
        return 0
    work = msgspec.msgpack.decode(received[0], type=Work)
    threading.Thread(target=_end_with, args=(channel,), daemon=True).start()
    try:
        with interruptible(), tempfile.TemporaryFile() as log:
            status = run_child([sys.executable, *work.arguments], log)
            said = last_words(log)[:SAID_BYTES_MAX]
    except Interrupted as error:
        return error.status
    files = sorted(str(path.relative_to(work.folder)) for path in Path(work.folder).rglob("*") if path.is_file())
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        channel.send(msgspec.msgpack.encode(Outcome(status, said, files)))
    return 0


def _end_with(channel: ControlSocket) -> None:
    """Nothing more is said on it: what comes is its end."""
    while channel.receive() is not None:
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
