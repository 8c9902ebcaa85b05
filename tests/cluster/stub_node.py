"""A server that speaks the control protocol over the real transport, greets whoever it is linked to and holds no data.

`python stub_node.py [--mute | --fail] FD`.  It does not ask to die with its parent, so that only the janitor can end it
while it is frozen.  Inspected, it shows as znodes what it knows of its links: /linked/ROLE/NAME (incarnation of the
other), /heard/ROLE/NAME (the greeting that came over the link), /ended/ROLE/NAME (its process was seen to end).  Over
links that carry datagrams it says nothing, and shows /address/ROLE/NAME and /shape/ROLE/NAME (JSON) as it was told.
"""

import os
import sys
import time

import msgspec

from lab.client.history import ReplicaState, Znode
from lab.node.control import (
    Attach,
    Configure,
    Detach,
    GetStatus,
    Inspect,
    Inspected,
    Phase,
    Reshape,
    ServerState,
    Status,
    Transition,
    decode_command,
    encode_control,
)
from lab.transport.bell import Bell
from lab.transport.control import ControlSocket
from lab.transport.shm import CLIENT_CHANNELS, PEER_CHANNELS, ShmLink
from lab.transport.waiter import Waiter

CHANNELS = {"peer": PEER_CHANNELS, "client": CLIENT_CHANNELS}
APPLIED = 1 << 32 | 7


class Stub:
    def __init__(self, control: ControlSocket) -> None:
        received = control.receive()
        assert received is not None
        configure = decode_command(received[0])
        assert isinstance(configure, Configure)
        self.control, self.config = control, configure.config
        event, page, *self.sockets = received[1]
        self.waiter = Waiter(Bell.adopt(event, page))
        self.links: dict[tuple[str, int], tuple[ShmLink | None, int]] = {}
        self.shown: dict[str, bytes] = {"/initialize": str(self.config.initialize).encode()}
        self.leader = max(self.config.zab.voters)

    def state(self) -> ServerState:
        if self.config.me == self.leader:
            return ServerState.LEADING
        return ServerState.FOLLOWING if self.config.me in self.config.zab.voters else ServerState.OBSERVING

    def run(self) -> None:
        now = time.monotonic_ns()
        self.answer(Transition(now, "entered", self.state(), Phase.BROADCAST, 1, self.leader))
        control_fd = self.control.fileno()
        self.waiter.add(control_fd)
        while True:
            ready = self.waiter.wait(
                1e3, lambda: any(link.channels[0].has_input() for link, _ in self.links.values() if link)
            )
            for (role, name), (link, life_fd) in list(self.links.items()):
                for frame in link.channels[0].receive() if link is not None else ():
                    self.shown[f"/heard/{role}/{name}"] = frame
                if life_fd in ready:
                    self.shown[f"/ended/{role}/{name}"] = b""
                    self.drop(role, name)
            if control_fd in ready:
                received = self.control.receive()
                if received is None:
                    return
                self.obey(*received)

    def drop(self, role: str, name: int) -> None:
        link, life_fd = self.links.pop((role, name), (None, -1))
        self.shown.pop(f"/linked/{role}/{name}", None)
        if link is not None:
            link.close()
        if life_fd >= 0:
            self.waiter.remove(life_fd)
            os.close(life_fd)

    def obey(self, data: bytes, fds: list[int]) -> None:
        match decode_command(data):
            case Attach(role, name, incarnation, link=number) as attach if number:
                self.drop(role, name)
                for fd in fds[:-1]:
                    os.close(fd)
                self.links[role, name] = None, fds[-1]
                self.waiter.add(fds[-1])
                self.shown[f"/linked/{role}/{name}"] = str(incarnation).encode()
                self.shown[f"/address/{role}/{name}"] = msgspec.json.encode(attach.address)
                self.shown[f"/shape/{role}/{name}"] = msgspec.json.encode(attach.shape)
            case Reshape(role, name, shape):
                self.shown[f"/shape/{role}/{name}"] = msgspec.json.encode(shape)
            case Attach(role, name, incarnation, side):
                self.drop(role, name)
                self.shown.pop(f"/heard/{role}/{name}", None)
                memory, bell, page, life = fds
                link = ShmLink(memory, CHANNELS[role], side, Bell.adopt(bell, page), queue_bytes_max=1 << 20)
                os.close(memory)
                self.links[role, name] = link, life
                self.waiter.add(life)
                self.shown[f"/linked/{role}/{name}"] = str(incarnation).encode()
                link.channels[0].send(f"{self.config.me} incarnation {self.config.incarnation}".encode())
                link.channels[0].flush()
            case Detach(role, name):
                self.drop(role, name)
            case GetStatus(number):
                if "--mute" not in sys.argv:
                    self.answer(
                        Status(number, time.monotonic_ns(), self.state(), Phase.BROADCAST, self.leader,
                               APPLIED, APPLIED, 0, 0, 0, time.process_time_ns())
                    )  # fmt: skip
            case Inspect(number, path, unknown):
                nodes = {name: Znode(1, 1, 0, value) for name, value in self.shown.items()}
                found = {f"{session}:{cxid}": cxid for session, cxid in unknown}
                state = ReplicaState(self.config.me, self.state().name, APPLIED, 0, nodes, None, found)
                with open(path, "wb") as file:
                    file.write(msgspec.msgpack.encode(state))
                self.answer(Inspected(number))

    def answer(self, record: Status | Inspected | Transition) -> None:
        self.control.send(encode_control(record))


if __name__ == "__main__":
    if "--fail" in sys.argv:
        sys.exit("stub: the disk is full")
    Stub(ControlSocket.adopt(int(sys.argv[-1]))).run()
