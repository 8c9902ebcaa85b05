"""A history as a file: how a load process hands it to the harness.

One msgpack header (client, sessions, rows), its length before it, then the columns as they are in memory.
"""

import struct
from pathlib import Path

import msgspec

from lab.client.history import OPEN_LOOP_COLUMNS, History

_LENGTH = struct.Struct("<Q")


class HandoverError(Exception):
    """What a load process did cannot be handed over: one line that names the file."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"{path}: {error.strerror}: free space there or choose another --data-dir")


class _Header(msgspec.Struct, frozen=True):
    client: int
    sessions: list[int]
    rows: int
    columns: list[str]


def write_history(history: History, path: Path) -> None:
    """The file appears under its name once it is complete.  Raises HandoverError."""
    names = list(history.columns)
    header = msgspec.msgpack.encode(_Header(history.client, history.sessions, len(history), names))
    unfinished = path.with_suffix(".unfinished")
    try:
        with unfinished.open("wb") as file:
            file.write(_LENGTH.pack(len(header)))
            file.write(header)
            for name in names:
                assert len(history.columns[name]) == len(history), (name, len(history.columns[name]), len(history))
                history.columns[name].tofile(file)
        unfinished.rename(path)
    except OSError as error:
        raise HandoverError(path, error) from error


def read_history(path: Path) -> History:
    """Raises OSError, or ValueError if the file is not a whole history."""
    with path.open("rb") as file:
        try:
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            header = msgspec.msgpack.decode(file.read(length), type=_Header)
            history = History(header.client, header.sessions, open_loop=OPEN_LOOP_COLUMNS[0][0] in header.columns)
            for name in header.columns:
                history.columns[name].fromfile(file, header.rows)
        except (struct.error, msgspec.MsgspecError, EOFError, KeyError, ValueError) as error:
            raise ValueError(f"{path}: not a whole history: {error}") from error
    return history
