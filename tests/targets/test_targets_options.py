"""Options of the protocol on a real ensemble: quorums of weights, syncs by quorum, a leader without clients."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from lab.client.client import connect
from lab.client.links import LinksError
from lab.faults import Crash
from lab.targets.own import OwnTarget


class OptionTarget(OwnTarget):
    """With protocol options for which there is no setting of a target yet."""

    def __init__(self, data_dir: Path, **options: object) -> None:
        super().__init__(voters=3, observers=1, durability="buffered", data_dir=data_dir, tick_ms=20)
        self._spec = msgspec.structs.replace(self._spec, zab=msgspec.structs.replace(self._spec.zab, **options))


@pytest.fixture
def target(tmp_path: Path) -> Iterator[OptionTarget]:
    made = OptionTarget(tmp_path, sync_mode="quorum", leader_serves=False, proposal_timeout_ms=5_000, weights=(1, 1, 0))
    made.start()
    yield made
    made.stop()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_two_of_three_decide_and_the_third_and_an_observer_serve(target: OptionTarget):
    roles = {server.id: server.role for server in target.servers()}
    (leader,) = (server for server in roles if roles[server] == "leader")
    assert leader in (1, 2)
    with (
        connect(target.connector(1, [3]).text) as at_weightless,
        connect(target.connector(2, [4]).text) as at_observer,
    ):
        for count in range(5):
            written = at_weightless.set("/", b"%d" % count)
            assert at_observer.read("/", sync=True) == b"%d" % count
            assert at_observer.last_zxid >= written.zxid
    with pytest.raises(LinksError, match="leaders serve no clients"):
        connect(target.connector(3, [leader]).text, timeout_s=0.5)
    target.inject(Crash(3))
    with connect(target.connector(4, [3 - leader]).text) as client:
        client.create("/x")
        assert client.read("/x", sync=True) == b""
    assert target.cluster.wait_until_serving(among=[1, 2, 4]) == leader
