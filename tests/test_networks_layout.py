"""Who stands where, and what the network alone makes reads and writes wait."""

import pytest

from lab.networks import Layout, load_network, uniform

OUTPOST = Layout(load_network("outpost"), voters=3)
OCEANS = Layout(load_network("oceans"), voters=5)
WITHIN_MS = 0.09  # a round trip between processes at one site


def test_observers_are_numbered_after_the_voters() -> None:
    assert [OUTPOST.server_site(server) for server in (1, 2, 3, 4)] == ["dallas-1", "dallas-2", "dallas-3", "sydney"]
    assert OUTPOST.client_site(0) == "sydney"


def test_the_nearest_servers_are_those_with_the_shortest_round_trip() -> None:
    assert OUTPOST.nearest(0, [1, 2, 3, 4]) == [4]
    assert OUTPOST.nearest(0, [1, 2, 3]) == [1, 2, 3]


@pytest.mark.parametrize(("layout", "leader", "round_trip_ms"), [
    (OUTPOST, 3, 1.94),  # with the nearer of the two others
    (OUTPOST, 1, 1.91),
    (OCEANS, 3, 118.0),  # washington: frankfurt is nearer, but two others have to have it
    (OCEANS, 5, 214.0),  # sydney: tokyo, then washington
    (Layout(load_network("zones"), voters=1), 1, 0.0),  # its own disk is a majority
    (Layout(load_network("zones"), voters=2), 2, 2.03),
    (Layout(load_network("zones"), voters=4), 4, 2.03),  # zone-1, whose other voter is as near as itself
])  # fmt: skip
def test_a_quorum_is_complete_when_the_nearest_others_have_it(
    layout: Layout, leader: int, round_trip_ms: float
) -> None:
    assert layout.quorum_ms(leader) == pytest.approx(round_trip_ms)


def test_a_read_takes_the_way_to_its_server_and_back() -> None:
    assert OUTPOST.read_ms(0, 4) == pytest.approx(WITHIN_MS)
    assert OUTPOST.read_ms(0, 3) == pytest.approx(185)


def test_a_write_goes_on_to_the_leader_and_waits_for_a_quorum() -> None:
    at_the_leader = Layout(load_network("outpost").placed({"client": "dallas-3"}), voters=3)
    assert at_the_leader.write_ms(0, server=3, leader=3) == pytest.approx(WITHIN_MS + 1.94)
    assert OUTPOST.write_ms(0, server=3, leader=3) == pytest.approx(185 + 1.94)
    assert OUTPOST.write_ms(0, server=4, leader=3) == pytest.approx(WITHIN_MS + 185 + 1.94)


def test_where_all_links_are_alike_a_write_at_the_leader_takes_two_round_trips() -> None:
    assert Layout(uniform(loss=0.0, delay_ms=2.0), voters=3).write_ms(0, 3, 3) == pytest.approx(8.0)
