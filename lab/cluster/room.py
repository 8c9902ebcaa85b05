"""A disk without room, for one server: a limit on the size of the files that its process writes (RLIMIT_FSIZE).

Needs no privilege, no mount and nothing to clean up: the limit ends with the process.  Every write beyond the first
FULL_BYTES of any file fails at once with EFBIG, room that a log reserved beforehand included; what a server says at its
end goes into a log file that is shorter than that.
"""

import errno
import os
import resource
import sys

FULL_BYTES = 4096
HOW = "RLIMIT_FSIZE"

_NO_ROOM = tuple(os.strerror(number) for number in (errno.EFBIG, errno.ENOSPC, errno.EDQUOT))


def can_fill() -> bool:
    """Whether another process's limits can be set here."""
    return sys.platform == "linux"


def take_room(pid: int) -> None:
    """Raises OSError (ProcessLookupError: it has ended)."""
    _limit(pid, FULL_BYTES)


def give_room(pid: int) -> None:
    """As much as the process may have.  Raises OSError."""
    _limit(pid, resource.RLIM_INFINITY)


def tells_of_no_room(last_words: str) -> bool:
    """Whether a process that ended says that a write found no room, and in which file."""
    return "/" in last_words and any(reason in last_words for reason in _NO_ROOM)


def _limit(pid: int, soft: int) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    if hard != resource.RLIM_INFINITY and (soft == resource.RLIM_INFINITY or soft > hard):
        soft = hard
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
