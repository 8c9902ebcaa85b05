"""Server processes as their supervisor sees them: start, commands, end."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lab.client.history import ReplicaState, Znode
from lab.faults import Shape
from lab.node.config import Durability
from lab.node.control import (
    Attach,
    Command,
    Configure,
    GetStatus,
    Inspect,
    Inspected,
    Reshape,
    Status,
    Transition,
    encode_control,
)
from lab.service.requests import (
    CheckOp,
    Connect,
    Connected,
    Create,
    CreateOp,
    Done,
    Failed,
    Multi,
    MultiDone,
    MultiFailed,
    Reply,
    SetData,
    SetDataOp,
    decode_replies,
    encode_frame,
)
from lab.transport.bell import Bell
from lab.transport.control import ControlSocket
from lab.transport.pidfd import open_pidfd
from lab.transport.shm import CLIENT_CHANNELS, ShmLink, create_link_memory
from lab.transport.waiter import Waiter
from lab.zab.messages import Phase, ServerState
from lab.zab.zxid import make_zxid

pytestmark = pytest.mark.process

DEADLINE_S = 30.0


def wait_until_dead(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(DEADLINE_S * 1e3))


def is_serving(answer: object) -> bool:
    return isinstance(answer, Transition) and answer.phase is Phase.BROADCAST


def is_status(answer: object) -> bool:
    return isinstance(answer, Status)


def one_line(log: Path) -> str:
    (line,) = log.read_text().splitlines()
    return line


class Client:
    """A load process's end of one link, and the life that its server watches."""

    def __init__(self, server: Any) -> None:
        self.bell = Bell.create()
        self.life_fd, self._life = os.pipe()
        memory_fd = create_link_memory(CLIENT_CHANNELS)
        self.link = ShmLink(memory_fd, CLIENT_CHANNELS, 0, server.bell, queue_bytes_max=1 << 20)
        self.waiter = Waiter(self.bell)
        fds = (memory_fd, self.bell.event_fd, self.bell.page_fd, self.life_fd)
        server.send(Attach("client", 1, 77, 1), fds)
        os.close(memory_fd)

    def ask(self, *requests: object) -> list[Reply]:
        """Send one frame and wait for as many replies."""
        (channel,) = self.link.channels
        channel.send(encode_frame(requests))
        channel.flush()
        replies: list[Reply] = []
        deadline = time.monotonic() + DEADLINE_S
        while len(replies) < len(requests):
            assert time.monotonic() < deadline, replies
            for frame in channel.receive():
                replies += decode_replies(frame)
            self.waiter.wait(100, channel.has_input)
        return replies

    def close(self) -> None:
        self.waiter.close()
        self.link.close()
        self.bell.close()
        os.close(self.life_fd)
        os.close(self._life)


def test_three_servers_elect_one_leader_and_end_at_eof(
    start_server: Callable, node_config: Callable, join: Callable, tmp_path: Path
) -> None:
    servers = [start_server() for _ in range(3)]
    for me, server in enumerate(servers, 1):
        server.configure(node_config(me, 3, tmp_path))
    for at, server in enumerate(servers):
        for earlier in servers[:at]:
            join(server, earlier)
    serving = [server.answer(is_serving) for server in servers]
    assert {transition.leader for transition in serving} == {3}
    assert [transition.state for transition in serving] == [
        ServerState.FOLLOWING,
        ServerState.FOLLOWING,
        ServerState.LEADING,
    ]
    for number, server in enumerate(servers):
        server.send(GetStatus(number))
        status = server.answer(is_status)
        assert (status.number, status.leader) == (number, 3)
        assert status.frames_sent > 0
    for server in servers:
        server.control.close()
        assert server.end() == 0
        assert server.log.read_text() == ""


def test_a_replica_is_inspected(start_server: Callable, node_config: Callable, tmp_path: Path) -> None:
    server = start_server()
    data_dir = tmp_path / "1"
    data_dir.mkdir(mode=0o700)
    (data_dir / "initialize").touch()
    server.configure(node_config(1, 1, data_dir, durability=Durability.BUFFERED))
    server.answer(is_serving)
    client = Client(server)
    try:
        (connected,) = client.ask(Connect(9, 1, 0))
        assert isinstance(connected, Connected)
        created, failed, half, both, changed = client.ask(
            Create(1, "/a", b"first"),
            SetData(2, "/a", b"no", version=7),
            Multi(3, [SetDataOp("/a", b"no"), CheckOp("/a", 7)]),
            Multi(4, [SetDataOp("/a", b"yes"), CreateOp("/b", b"")]),
            SetData(5, "/a", b"second"),
        )
        assert isinstance(created, Done)
        assert isinstance(failed, Failed)
        assert isinstance(half, MultiFailed)
        assert isinstance(both, MultiDone)
        assert isinstance(changed, Done)
    finally:
        client.close()
    path = tmp_path / "replica"
    server.send(Inspect(5, str(path), [(9, cxid) for cxid in range(1, 7)]))
    server.answer(lambda answer: answer == Inspected(5))
    state = msgspec.msgpack.decode(path.read_bytes(), type=ReplicaState)
    assert (state.server, state.role, state.applied_zxid) == (1, "leader", changed.zxid)
    assert state.nodes["/a"] == Znode(created.zxid, changed.zxid, 2, b"second")
    assert state.nodes["/b"] == Znode(both.zxid, both.zxid, 0, b"")
    assert state.log == [(0, 0), (make_zxid(1, 1), changed.zxid)]
    assert state.took_effect == {
        "9:1": created.zxid,
        "9:2": -1,
        "9:3": -1,
        "9:4": both.zxid,
        "9:5": changed.zxid,
    }
    assert isinstance(state.digest, int)


def test_in_memory_there_is_no_log_to_show(start_server: Callable, node_config: Callable, tmp_path: Path) -> None:
    server = start_server()
    server.configure(node_config(1, 1, tmp_path))
    server.answer(is_serving)
    server.send(Inspect(5, str(tmp_path / "replica"), []))
    server.answer(lambda answer: answer == Inspected(5))
    state = msgspec.msgpack.decode((tmp_path / "replica").read_bytes(), type=ReplicaState)
    assert state.log is None
    assert list(state.nodes) == ["/"]


def test_a_data_folder_that_is_in_use_ends_the_process_with_one_line(
    start_server: Callable, node_config: Callable, tmp_path: Path
) -> None:
    config = node_config(1, 1, tmp_path / "data", durability=Durability.FSYNC)
    first, second = start_server(), start_server()
    first.configure(config)
    first.send(GetStatus(1))
    first.answer(is_status)
    second.configure(config)
    assert second.end() == 1
    line = one_line(second.log)
    assert line.startswith("lab.node 1: ")
    assert "in use" in line


def test_a_supervisor_that_says_nothing_is_no_error(start_server: Callable) -> None:
    server = start_server()
    server.control.close()
    assert server.end() == 0
    assert server.log.read_text() == ""


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"\xc1", "control datagram of 1 bytes"),
        (encode_control(GetStatus(1)), "GetStatus: the first record has to be Configure"),
        (encode_control(Attach("peer", 1, 1, 0)), "Attach came with 0 descriptors, it takes 4"),
    ],
)
def test_a_wrong_first_record_ends_the_process_with_one_line(
    start_server: Callable, datagram: bytes, reason: str
) -> None:
    server = start_server()
    server.control.send(datagram)
    assert server.end() == 1
    assert one_line(server.log).startswith(f"lab.node: {reason}")


def test_a_server_that_is_to_speak_over_udp_and_has_no_socket_ends_with_one_line(
    start_server: Callable, node_config: Callable, tmp_path: Path
) -> None:
    server = start_server()
    server.configure(node_config(1, 1, tmp_path, transport="udp"))
    assert server.end() == 1
    assert one_line(server.log) == "lab.node: Configure came with 2 descriptors, it takes 3"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Reshape("peer", 2, Shape(blocked=True)), "the links of this server carry frames"),
        (Attach("peer", 2, 1, 0, 5, ("127.0.0.1", 9)), "link 0, descriptors 4"),
    ],
)
def test_a_server_whose_links_carry_frames_takes_no_word_of_datagrams(
    start_server: Callable, node_config: Callable, tmp_path: Path, record: Command, reason: str
) -> None:
    server = start_server()
    server.configure(node_config(1, 1, tmp_path))
    server.send(record)
    assert server.end() == 1
    assert reason in one_line(server.log)


@pytest.mark.parametrize("again", [b"garbage", None])
def test_a_malformed_command_ends_the_process_with_one_line(
    start_server: Callable, node_config: Callable, tmp_path: Path, again: bytes | None
) -> None:
    server = start_server()
    config = node_config(1, 1, tmp_path)
    server.configure(config)
    if again is None:
        server.send(Configure(config), (server.bell.event_fd, server.bell.page_fd))
    else:
        server.control.send(again)
    assert server.end() == 1
    assert one_line(server.log).startswith("lab.node 1: ")


@pytest.mark.parametrize("arguments", [[], ["x"], ["1", "2"], ["987"]])
def test_wrong_arguments_are_one_line(arguments: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "lab.node", *arguments], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("lab.node: ")


def test_ctrl_c_is_the_harness_s_to_handle(start_server: Callable, node_config: Callable, tmp_path: Path) -> None:
    server = start_server()
    server.configure(node_config(1, 1, tmp_path))
    server.answer(is_serving)
    server.popen.send_signal(signal.SIGINT)
    server.send(GetStatus(1))
    server.answer(is_status)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_server_dies_with_the_process_that_started_it(frozen: bool) -> None:
    """Its control socket stays open in the test, so it is not EOF that ends it."""
    control, theirs = ControlSocket.pair()
    starter = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys, time; fd = int(sys.argv[1]);"
            "child = subprocess.Popen([sys.executable, '-m', 'lab.node', str(fd)], pass_fds=(fd,));"
            "print(child.pid, flush=True); time.sleep(60)",
            str(theirs.fileno()),
        ],
        pass_fds=(theirs.fileno(),),
        stdout=subprocess.PIPE,
    )
    try:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        pidfd = open_pidfd(pid)
        wait_for_death_signal(pid)
        if frozen:
            os.kill(pid, signal.SIGSTOP)
        starter.kill()
        assert wait_until_dead(pidfd)
        os.close(pidfd)
    finally:
        starter.kill()
        starter.wait()
        if starter.stdout is not None:
            starter.stdout.close()
        theirs.close()
        control.close()


def wait_for_death_signal(pid: int) -> None:
    """Until the process ignores SIGINT, which it does after it has asked to die with its parent."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        if int(fields["SigIgn"], 16) >> (signal.SIGINT - 1) & 1:
            return
        time.sleep(0.005)
    raise AssertionError(f"process {pid} has not got that far in {DEADLINE_S} s")


def test_a_parent_that_has_ended_already_is_noticed() -> None:
    code = "from lab.node.lifeline import die_with_parent; die_with_parent(1)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert "ProcessLookupError: parent process 1 has ended" in result.stderr
