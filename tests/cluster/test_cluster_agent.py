"""The agent of a host: processes there, seen and ended from here as if they were here; nothing of them outlives it."""

import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stub_clusters import DEADLINE_S, open_descriptors, wait_until

from lab.cluster.agent_protocol import (
    FRAME_BYTES_MAX,
    Ended,
    Forward,
    HangUp,
    Heard,
    Held,
    Ping,
    Pong,
    Prepare,
    Report,
    Resident,
    Signal,
    Start,
    Started,
    Unframer,
    decode_report,
    decode_request,
    frame,
)
from lab.cluster.cleanup import running_since
from lab.cluster.errors import ClusterError
from lab.cluster.host_link import HostLink
from lab.cluster.process import SOURCE_ROOT
from lab.cluster.remote import Station, insist_on_one_key
from lab.cluster.remote_child import RemoteChild

ECHO = str(Path(__file__).with_name("echo_job.py"))


class Host:
    """An agent without a tunnel: the stream's other end is the process itself."""

    def __init__(self, name: str) -> None:
        ours, its_end = socket.socketpair()
        with its_end:
            self.agent = subprocess.Popen(
                [sys.executable, "-m", "lab.cluster.agent", str(its_end.fileno())],
                pass_fds=(its_end.fileno(),),
                env={**os.environ, "PYTHONPATH": SOURCE_ROOT},
            )
        self.link = HostLink(name, ours)

    def close(self) -> None:
        self.link.close()
        assert self.agent.wait(DEADLINE_S) == 0


@pytest.fixture
def hosts() -> Iterator[Callable[[str], Host]]:
    before = open_descriptors()
    made: list[Host] = []

    def make(name: str) -> Host:
        made.append(Host(name))
        return made[-1]

    yield make
    for host in made:
        host.link.close()
        host.agent.wait(DEADLINE_S)
    assert open_descriptors() <= before


def echo(host: Host, name: str = "echo") -> RemoteChild:
    child = host.link.start("job", name, [ECHO], b"hello")
    assert receive(child) == b"%d: hello" % child.pid
    return child


def receive(child: RemoteChild) -> bytes:
    (channel,) = child.channels
    channel.settimeout(DEADLINE_S)
    return channel.recv(1 << 16)


def end(child: RemoteChild) -> None:
    for channel in child.channels:
        channel.close()
    child.close()


def test_frames_survive_any_cut() -> None:
    stream = b"".join(frame(Ping(n)) for n in range(50))
    for step in (1, 3, 7, len(stream)):
        frames = Unframer()
        found = [body for at in range(0, len(stream), step) for body in frames.feed(stream[at : at + step])]
        assert [decode_request(body) for body in found] == [Ping(n) for n in range(50)]


def test_a_length_beyond_the_bound_is_refused_before_anything_is_kept_for_it() -> None:
    with pytest.raises(ValueError, match="this is no agent's stream"):
        Unframer().feed((FRAME_BYTES_MAX + 1).to_bytes(4, "little"))


def test_requests_and_reports_are_told_apart() -> None:
    (body,) = Unframer().feed(frame(Pong(1, 2)))
    assert decode_report(body) == Pong(1, 2)
    with pytest.raises(ValueError, match="Invalid value"):
        decode_request(body)


@pytest.mark.process
def test_datagrams_go_to_a_process_there_and_come_back_in_order(hosts, tmp_path: Path) -> None:
    host = hosts("a")
    host.link.prepare(data_dir=str(tmp_path))
    child = echo(host)
    for n in range(100):
        child.channels[0].send(b"%d" % n)
    assert [receive(child) for _ in range(100)] == [b"%d: %d" % (child.pid, n) for n in range(100)]
    assert child.rss_bytes() > 1 << 20
    child.channels[0].close()  # EOF, which means exit
    assert child.wait(DEADLINE_S)
    assert child.last_words().startswith("on a: exit status 0")
    end(child)
    host.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_what_a_process_said_last_is_heard_although_it_has_ended(hosts, tmp_path: Path) -> None:
    """More than a socket holds: it waits for its reader here."""
    host = hosts("a")
    host.link.prepare(data_dir=str(tmp_path))
    child = echo(host)
    child.channels[0].send(b"loud")
    assert [receive(child) for _ in range(400)] == [bytes(4096)] * 400
    assert receive(child) == b""
    assert child.wait(DEADLINE_S)
    end(child)


@pytest.mark.process
def test_a_stopped_process_keeps_what_it_is_told_until_it_goes_on(hosts, tmp_path: Path) -> None:
    host = hosts("a")
    host.link.prepare(data_dir=str(tmp_path))
    child = echo(host)
    child.stop(DEADLINE_S)
    assert Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    for n in range(1000):  # above what its socket holds
        child.channels[0].send(b"%d" % n)
    other = echo(host, "other")  # nobody else is held up
    child.resume()
    assert [receive(child) for _ in range(1000)] == [b"%d: %d" % (child.pid, n) for n in range(1000)]
    end(other)
    end(child)


@pytest.mark.process
def test_last_words_and_kills_are_told(hosts, tmp_path: Path) -> None:
    host = hosts("a")
    host.link.prepare(data_dir=str(tmp_path))
    failing, killed = echo(host, "failing"), echo(host, "killed")
    failing.channels[0].send(b"fail")
    assert failing.wait(DEADLINE_S)
    assert failing.last_words() == "on a: exit status 1: echo: told to fail"
    killed.kill(DEADLINE_S)
    assert killed.last_words().startswith("on a: ended by SIGKILL")
    killed.kill(DEADLINE_S)  # nobody is there any more
    assert killed.rss_bytes() == 0
    end(failing)
    end(killed)


@pytest.mark.process
def test_files_of_the_run_are_made_fetched_and_removed_and_no_others(hosts, tmp_path: Path) -> None:
    host = hosts("a")
    host.link.prepare(data_dir=str(tmp_path))
    host.link.make_folder("data/1", ["initialize"])
    folder = host.link.folder / "data" / "1"
    assert (folder / "initialize").exists()
    large = os.urandom((2 << 20) + 17)
    (folder / "large").write_bytes(large)
    assert host.link.fetch("data/1/large") == large
    host.link.remove("data/1/large")
    assert not (folder / "large").exists()
    host.link.remove("data/1")
    host.link.remove("data/1")
    assert not folder.exists()
    with pytest.raises(ClusterError, match=r"^a: .*No such file"):
        host.link.fetch("data/1/large")
    for path in ("../x", "/etc/passwd", ".", ""):
        with pytest.raises(ClusterError, match="not in the run's folder"):
            host.link.fetch(path)


@pytest.mark.process
def test_the_clock_of_this_very_host_has_no_offset_beyond_its_uncertainty(hosts, tmp_path: Path) -> None:
    host = hosts("a")
    host.link.prepare(data_dir=str(tmp_path))
    assert abs(host.link.clock.offset_ns()) <= host.link.clock.uncertainty_ns()


@pytest.mark.process
@pytest.mark.parametrize("way", ["coordinator", "agent"])
def test_nothing_outlives_either_end(hosts, tmp_path: Path, way: str) -> None:
    """The agent's processes do not ask to die with it: its janitor ends them, and removes the folder."""
    host = hosts("a")
    host.link.prepare(data_dir=str(tmp_path))
    child = echo(host)
    child.stop(DEADLINE_S)
    if way == "coordinator":
        host.link.close()
    else:
        host.agent.kill()
    assert child.wait(DEADLINE_S)
    assert child.last_words().startswith("on a: host a is lost: ")
    assert receive(child) == b""
    host.agent.wait(DEADLINE_S)
    wait_until(lambda: running_since(child.pid) is None, "the process is gone")
    wait_until(lambda: not list(tmp_path.iterdir()), "the folder is gone")
    with pytest.raises(ClusterError, match="host a is lost"):
        host.link.fetch("x")
    child.send_signal(signal.SIGKILL)  # nothing
    end(child)


@pytest.mark.process
def test_hosts_with_different_keys_are_named(hosts, tmp_path: Path) -> None:
    stations = {}
    for name, key in (("a", b"1" * 32), ("b", b"1" * 32), ("c", b"2" * 32)):
        path = tmp_path / f"key-{name}"
        path.write_bytes(key)
        path.chmod(0o600)
        stations[name] = Station(hosts(name).link, "127.0.0.1")
        stations[name].host.prepare(data_dir=str(tmp_path / name), address="127.0.0.1", key_file=str(path))
    insist_on_one_key({name: stations[name] for name in "ab"})
    with pytest.raises(ClusterError, match=r"^hosts a and c hold different keys"):
        insist_on_one_key(stations)


@pytest.mark.process
def test_a_host_that_says_nothing_for_too_long_is_lost(hosts, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("lab.cluster.shuttle.PING_EVERY_S", 0.05)
    host = hosts("a")
    host.link.prepare(data_dir=str(tmp_path))
    child = echo(host)
    monkeypatch.setattr("lab.cluster.shuttle.SILENT_AFTER_S", 0.2)
    host.agent.send_signal(signal.SIGSTOP)
    assert child.wait(DEADLINE_S)
    host.agent.send_signal(signal.SIGCONT)
    assert child.last_words() == "on a: host a is lost: nothing was heard of it for 0.2 s"
    end(child)


@pytest.mark.process
def test_a_coordinator_that_says_nothing_for_too_long_is_gone(tmp_path: Path) -> None:
    """The stream is open, as it is when a machine or a network has vanished."""
    ours, its_end = socket.socketpair()
    patience = "import lab.cluster.agent as agent, sys; agent.LEASE_S = 0.2; sys.exit(agent.main(sys.argv[1:]))"
    with ours, its_end:
        agent = subprocess.Popen(
            [sys.executable, "-c", patience, str(its_end.fileno())],
            pass_fds=(its_end.fileno(),),
            env={**os.environ, "PYTHONPATH": SOURCE_ROOT},
        )
        ours.sendall(frame(Prepare(1, str(tmp_path), False, "", "")))
        (prepared,) = Unframer().feed(ours.recv(1 << 16))
        assert Path(decode_report(prepared).folder).is_dir()
        assert agent.wait(DEADLINE_S) == 0
    assert not list(tmp_path.iterdir())


@contextmanager
def bare_agent() -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """An agent and the stream to it."""
    ours, its_end = socket.socketpair()
    ours.settimeout(DEADLINE_S)
    with ours, its_end:
        agent = subprocess.Popen(
            [sys.executable, "-m", "lab.cluster.agent", str(its_end.fileno())],
            pass_fds=(its_end.fileno(),),
            env={**os.environ, "PYTHONPATH": SOURCE_ROOT},
        )
        its_end.close()
        try:
            yield agent, ours
        finally:
            agent.kill()
            agent.wait()


def reports(stream: socket.socket) -> Iterator[Report]:
    """What an agent says on its stream, one after another."""
    frames = Unframer()
    while data := stream.recv(1 << 16):
        yield from map(decode_report, frames.feed(data))


@pytest.mark.process
def test_a_process_that_gets_the_descriptor_of_a_closed_channel_is_not_taken_for_the_other(tmp_path: Path) -> None:
    """In one turn of the agent a channel is closed, a process starts, and the channel's last words are due."""
    with bare_agent() as (agent, stream):
        said = reports(stream)
        stream.sendall(frame(Prepare(1, str(tmp_path), False, "", "")))
        stream.sendall(frame(Start(2, 1, "job", "a", [ECHO], b"hello")))
        first = next(report for report in said if isinstance(report, Started))
        for request in (Signal(3, 1, signal.SIGSTOP), Forward(1, 0, b"fail"), Resident(4, 1)):
            stream.sendall(frame(request))
        assert next(report for report in said if isinstance(report, Held)), "by now the process is told"
        agent.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, agent.pid, os.WSTOPPED | os.WNOWAIT)
        stream.sendall(frame(HangUp(1, 0)) + frame(Start(5, 2, "job", "b", [ECHO], b"hello")))
        os.kill(first.pid, signal.SIGCONT)
        wait_until(lambda: running_since(first.pid) is None, "the process has ended")
        agent.send_signal(signal.SIGCONT)
        second = next((report for report in said if isinstance(report, Started)), None)
        assert second is not None
        later = list(itertools.islice(said, 2))
        assert Ended(1, "exit status 1: echo: told to fail") in later
        assert Heard(2, 0, b"%d: hello" % second.pid) in later
        stream.shutdown(socket.SHUT_WR)
        assert agent.wait(DEADLINE_S) == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.process
@pytest.mark.parametrize(("address", "key", "refused"), [
    ("0.0.0.0", "", "cannot bind 0.0.0.0 without a key"),
    ("10.1.2.3", "", "cannot bind 10.1.2.3 without a key"),
    ("10.1.2.3", "missing", "No such file"),
    ("127.0.0.1", "readable by all", "mode 0644 lets others at it"),
    ("192.0.2.1", "good", "cannot bind 192.0.2.1: .*is it an address of this host"),  # RFC 5737: nobody's
])  # fmt: skip
def test_links_beyond_loopback_need_a_key_and_nothing_is_begun_without(hosts, tmp_path, address, key, refused) -> None:
    path = tmp_path / key
    if key in ("readable by all", "good"):
        path.write_bytes(bytes(32))
        path.chmod(0o600 if key == "good" else 0o644)
    host = hosts("a")
    with pytest.raises(ClusterError, match=rf"^a: .*{refused}"):
        host.link.prepare(data_dir=str(tmp_path / "data"), address=address, key_file=str(path) if key else "")
    assert not (tmp_path / "data").exists()
    host.close()
