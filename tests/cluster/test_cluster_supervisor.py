"""One ensemble of stubs: start, stop, crash, freeze, restart, and what the supervisor says when something fails."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stub_clusters import StubCluster, wait_until

from lab.cluster.cleanup import running_since
from lab.cluster.errors import ClusterError
from lab.cluster.run_folder import filesystem_of
from lab.cluster.spec import spec_of
from lab.cluster.supervisor import Cluster
from lab.node.control import Phase, ServerState

pytestmark = pytest.mark.process

Make = Callable[..., StubCluster]


def test_it_serves_once_all_are_in_the_leaders_broadcast(stubs: Make) -> None:
    cluster = stubs(3, 2)
    assert cluster.wait_until_serving() == 3
    reports = dict(cluster.transitions())
    assert reports[1].state is ServerState.FOLLOWING
    assert reports[5].state is ServerState.OBSERVING
    assert cluster.transitions() == []
    assert {status.phase for status in cluster.status().values()} == {Phase.BROADCAST}


def test_a_first_start_is_marked_as_new_and_a_restart_is_not(stubs: Make) -> None:
    cluster = stubs(1)
    marker = cluster.folder / "data" / "1" / "initialize"
    assert marker.exists()
    assert cluster.known_to(1)["/initialize"] == "True"
    marker.unlink()
    cluster.crash(1)
    cluster.restart(1)
    assert cluster.known_to(1)["/initialize"] == "False"
    assert not marker.exists()


def test_a_wiped_server_has_an_empty_data_folder(stubs: Make) -> None:
    cluster = stubs(1)
    cluster.crash(1)
    cluster.wipe(1)
    assert list((cluster.folder / "data" / "1").iterdir()) == []


def test_a_crashed_server_is_gone_when_crash_returns(stubs: Make) -> None:
    cluster = stubs(3)
    pid, before = cluster.pids()[2], time.monotonic_ns()
    at_ns = cluster.crash(2)
    assert before <= at_ns <= time.monotonic_ns()
    assert running_since(pid) is None
    assert sorted(cluster.pids()) == [1, 3]


def test_a_frozen_server_stands_still_and_answers_once_it_is_thawed(stubs: Make) -> None:
    cluster = stubs(3)
    cluster.freeze(2)
    assert Path(f"/proc/{cluster.pids()[2]}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    assert sorted(cluster.status()) == [1, 3]
    with pytest.raises(ClusterError, match="server 2 is frozen and answers nothing"):
        cluster.status([2])
    cluster.thaw(2)
    assert sorted(cluster.status()) == [1, 2, 3]


def test_a_frozen_server_can_be_crashed_and_restarted(stubs: Make) -> None:
    cluster = stubs(3)
    cluster.freeze(2)
    cluster.crash(2)
    cluster.restart(2)
    assert sorted(cluster.status()) == [1, 2, 3]


def test_a_stopped_server_ends_by_itself(stubs: Make) -> None:
    cluster = stubs(3)
    cluster.stop_server(1)
    assert sorted(cluster.pids()) == [2, 3]


def test_what_cannot_be_done_to_a_server_is_said(stubs: Make) -> None:
    cluster = stubs(2)
    with pytest.raises(ClusterError, match="there is no server 9: the ensemble has 1, 2"):
        cluster.crash(9)
    with pytest.raises(ClusterError, match="server 1 is running already"):
        cluster.start_server(1)
    with pytest.raises(ClusterError, match="server 1 is running: crash or stop it before its disk is wiped"):
        cluster.wipe(1)
    cluster.crash(1)
    with pytest.raises(ClusterError, match="server 1 does not run: restart it first"):
        cluster.freeze(1)


def test_a_server_that_ends_by_itself_is_named_with_how_it_ended(stubs: Make) -> None:
    cluster = stubs(3)
    log = cluster.folder / "server-2.log"
    log.write_text("lab.node 2: log.1: No space left on device\n")
    os.kill(cluster.pids()[2], signal.SIGTERM)
    with pytest.raises(ClusterError, match=r"server 2 ended: ended by SIGTERM: lab.node 2: log.1: No space left"):
        cluster.wait(lambda: False, 30.0, lambda: "it has not ended")
    with pytest.raises(ClusterError, match="server 2 does not run"):
        cluster.crash(2)
    cluster.restart(2)
    assert sorted(cluster.status()) == [1, 2, 3]


def test_a_silent_end_on_a_full_disk_is_put_down_to_that(stubs: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = stubs(3)
    monkeypatch.setattr("lab.cluster.process.LAST_WORDS_BYTES", 1 << 62)
    os.kill(cluster.pids()[2], signal.SIGTERM)
    with pytest.raises(ClusterError, match="ended by SIGTERM: no space left on the disk of "):
        cluster.wait(lambda: False, 30.0, lambda: "it has not ended")


def test_servers_that_fail_at_once_fail_the_start_with_their_last_words(stubs: Make, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="exit status 1: stub: the disk is full"):
        stubs(1, 0, "--fail")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_named(stubs: Make) -> None:
    cluster = stubs(2, 0, "--mute")
    with pytest.raises(ClusterError, match=r"within 0.05 s: no answer from servers \[1, 2\]"):
        cluster.status(timeout_s=0.05)


def test_an_ensemble_that_does_not_serve_is_described(stubs: Make) -> None:
    cluster = stubs(3)
    cluster.crash(3)  # the stubs that are left keep following it
    with pytest.raises(ClusterError, match="does not serve: server 1 FOLLOWING BROADCAST, server 2 FOLLOWING"):
        cluster.wait_until_serving(0.05)


def test_many_unknown_requests_are_looked_up_in_several_questions(stubs: Make) -> None:
    cluster = stubs(1)
    unknown = [((1 << 63) - 1 - i, (1 << 40) + i) for i in range(4_001)]
    assert len(cluster.inspect(1, unknown)) == 3
    assert list(cluster.folder.glob("inspect-*")) == []


def test_close_leaves_nothing_and_can_be_repeated(stubs: Make, tmp_path: Path) -> None:
    cluster = stubs(3)
    cluster.freeze(1)
    (fd,) = cluster.attach_client(0)
    os.close(fd)
    pids = cluster.pids().values()
    cluster.close()
    assert all(running_since(pid) is None for pid in pids)
    assert list(tmp_path.iterdir()) == []
    cluster.close()


def test_ctrl_c_during_close_counts_once_everything_is_gone(stubs: Make, tmp_path: Path) -> None:
    cluster = stubs(1)
    finish = cluster._janitor.finish

    def interrupted() -> None:
        signal.raise_signal(signal.SIGINT)
        finish()

    cluster._janitor.finish = interrupted
    with pytest.raises(KeyboardInterrupt):
        cluster.close()
    assert list(tmp_path.iterdir()) == []


def test_the_cluster_cleans_up_if_somebody_ended_its_janitor(stubs: Make, tmp_path: Path) -> None:
    cluster = stubs(2)
    cluster._janitor._child.kill(30.0)
    cluster.close()
    assert list(tmp_path.iterdir()) == []


def test_fsync_on_a_file_system_in_memory_is_refused_before_anything_starts() -> None:
    shm = Path("/dev/shm")
    if filesystem_of(shm) != "tmpfs":
        pytest.skip("no tmpfs here")
    before = set(shm.iterdir())
    spec = spec_of(voters=1, observers=0, limits={}, durability="fsync", data_dir=str(shm))
    with pytest.raises(ClusterError, match=r"durability=fsync in /dev/shm/.* tmpfs"):
        Cluster(spec).start()
    assert set(shm.iterdir()) <= before


def test_another_process_can_be_left_to_the_janitor(stubs: Make) -> None:
    cluster = stubs(1)
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], os.environ)
    try:
        cluster.owns_process(pid)
        cluster.close()
        wait_until(lambda: running_since(pid) is None, "the janitor has ended it")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
