"""Names in a server's data folder.

    lock                     flock of the process that runs the server (Z-8)
    initialize               this folder is new: an empty history may vote (Z-12)
    unsynced                 it was found empty without `initialize`: no vote until a synchronization is complete (Z-12)
    acceptedEpoch            decimal (zab.md 7.1), with a checksum as in `line`
    currentEpoch             likewise
    CURRENT                  name of the generation in force (Z-11), likewise
    generation.<n>/          snapshot.<zxid> and, after it, log.<zxid of its first record> ... (zxids in hexadecimal)

A generation starts with one snapshot, installed or empty; later ones of the server's own stand beside it, and the log
reaches back to the oldest that is kept.  A name that ends in `.tmp` is an unfinished write and never read, except by
`epochs`.
"""

from lab.zab.constants import ZXID_MAX
from lab.zab.zxid import Zxid

LOCK = "lock"
INITIALIZE = "initialize"
UNSYNCED = "unsynced"
CURRENT = "CURRENT"
ACCEPTED_EPOCH = "acceptedEpoch"
CURRENT_EPOCH = "currentEpoch"
TMP = ".tmp"


def generation_name(number: int) -> str:
    return f"generation.{number}"


def generation_number(name: str) -> int | None:
    """The number in a generation's name; None for any other name."""
    stem, _, digits = name.partition(".")
    return int(digits) if stem == "generation" and digits.isascii() and digits.isdigit() else None


def log_name(first: Zxid) -> str:
    return f"log.{first:x}"


def snapshot_name(zxid: Zxid) -> str:
    return f"snapshot.{zxid:x}"


def unfinished_name(zxid: Zxid, incarnation: int) -> str:
    """Of a snapshot that another process writes for this incarnation of the server (Z-8)."""
    return f"{snapshot_name(zxid)}.{incarnation:x}{TMP}"


def labelled(names: list[str], stem: str) -> list[tuple[Zxid, str]]:
    """(zxid, name) of the names `<stem>.<zxid>`, in the order of their zxids."""
    return sorted((zxid, name) for name in names if (zxid := _label(name, stem)) is not None)


def _label(name: str, stem: str) -> Zxid | None:
    found, _, digits = name.partition(".")
    if found != stem or not digits or len(digits) > 16 or not set(digits) <= set("0123456789abcdef"):
        return None
    zxid = int(digits, 16)
    return zxid if zxid <= ZXID_MAX and f"{zxid:x}" == digits else None
