"""Who may end of a full disk, and who may not."""

import os
import signal
from collections.abc import Callable

import pytest
from stub_clusters import StubCluster

from lab.cluster.endings import Endings
from lab.cluster.errors import ClusterError
from lab.cluster.room import tells_of_no_room

NO_ROOM = "exit status 1: lab.node 2: /data/2/log.1: cannot write: File too large; raise the limit"


@pytest.mark.parametrize(
    ("words", "tells"),
    [
        (NO_ROOM, True),
        ("exit status 1: lab.node 2: /data/2/acceptedEpoch: cannot write: No space left on device", True),
        ("exit status 1: lab.node 2: File too large", False),  # names no file
        ("exit status 1: lab.node 2: AssertionError: /data/2", False),
        ("ended by SIGKILL: (nothing in /run/server-2.log)", False),
    ],
)
def test_last_words_that_name_a_file_and_no_room_are_understood(words: str, tells: bool) -> None:
    assert tells_of_no_room(words) == tells


def test_only_who_was_filled_may_end_of_it_and_only_once() -> None:
    endings = Endings()
    endings.filled(2)
    endings.ended(2, NO_ROOM)
    endings.check()
    assert endings.out_of_room == {2: NO_ROOM}
    assert "File too large" in endings.how(2)
    endings.started(2)
    assert endings.out_of_room == {}
    endings.ended(2, NO_ROOM)  # nobody filled the disk of this incarnation
    with pytest.raises(ClusterError, match="server 2 ended: exit status 1"):
        endings.check()
    endings.started(2)
    endings.check()


def test_another_end_of_a_filled_server_is_an_error() -> None:
    endings = Endings()
    endings.filled(2)
    endings.ended(2, "exit status 1: AssertionError: (1, 2)")
    with pytest.raises(ClusterError, match="AssertionError"):
        endings.check()


@pytest.mark.process
def test_a_server_that_has_just_ended_is_told_rather_than_filled(stubs: Callable[..., StubCluster]) -> None:
    cluster = stubs(3)
    os.kill(cluster.pids()[2], signal.SIGKILL)
    cluster._servers[2].child.wait(10.0)
    with pytest.raises(ClusterError, match="server 2 ended: ended by SIGKILL"):
        cluster.fill_disk(2)
    cluster.free_disk(2)
    with pytest.raises(ClusterError, match="there is no server 9"):
        cluster.fill_disk(9)
