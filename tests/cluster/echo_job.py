"""`python echo_job.py FD`: answers each datagram with `pid: ` and itself; `fail` ends it, `loud` says much at once."""

import os
import sys

from lab.transport.control import ControlSocket

channel = ControlSocket.adopt(int(sys.argv[1]))
while (received := channel.receive()) is not None:
    said = received[0]
    if said == b"fail":
        sys.exit("echo: told to fail")
    if said == b"loud":
        for _ in range(400):
            channel.send(bytes(4096))
        break
    channel.send(b"%d: %s" % (os.getpid(), said))
