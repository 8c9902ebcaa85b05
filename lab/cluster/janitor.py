"""`python -m lab.cluster.janitor FD`: outlives the harness and ends what it left (DESIGN 3, layer 2).

Started first, in a session of its own, deaf to the signals that end a harness.  It reads what the run owns from FD, a
pipe whose other end only the harness holds; at its end, however the harness ended, everything owned is ended and
removed.  Exit status 1: something is left, and standard error (the run folder's log) says what.
"""

import os
import signal
import sys

from lab.cluster.cleanup import Estate

CLEAR_TIMEOUT_S = 20.0
READ_BYTES = 1 << 16


def main(fd: int) -> int:
    for deaf_to in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(deaf_to, signal.SIG_IGN)
    estate = Estate()
    while data := os.read(fd, READ_BYTES):
        estate.read(data)
    left = estate.clear(CLEAR_TIMEOUT_S)
    for what in left:
        sys.stderr.write(f"janitor: {what}\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
