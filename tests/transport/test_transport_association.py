"""Sessions of a link begin, end and follow each other; nothing of one is ever taken for another's."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_link import LINK, MS, SECOND, VirtualLink

from lab.faults import Constant, Shape
from lab.transport.association import HELLO_BYTES, Association, Ended, Opened
from lab.transport.datagram import HEADER_BYTES
from lab.transport.window import WindowConfig

CONFIG = WindowConfig()
LAN = Shape(delay=Constant(1))
BLOCKED = Shape(blocked=True)


def pair(config: WindowConfig = CONFIG) -> list[Association]:
    return [Association(LINK, side, 1, config, random.Random(side)) for side in (0, 1)]


def talk(ends: list[Association], now: int, turns: int = 6) -> list[bytes]:
    """Let both send to each other at one instant; returns all that was sent."""
    everything = []
    for _ in range(turns):
        for end, other in (ends, reversed(ends)):
            datagrams = end.datagrams_to_send(now)
            everything += datagrams
            other.on_datagrams(datagrams, now)
    return everything


# -- sessions begin --------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 32), loss=st.sampled_from((0.0, 0.3, 0.7)), duplicate=st.sampled_from((0.0, 0.5)))
def test_a_session_opens_at_both_ends_whatever_is_lost(seed: int, loss: float, duplicate: float) -> None:
    config = WindowConfig(dead_after_ns=30 * SECOND)
    link = VirtualLink(Shape(delay=Constant(5), loss=loss, duplicate=duplicate), config, seed=seed)
    link.open()
    link.run(SECOND)
    assert [end.events for end in link.ends] == [[Opened()], [Opened()]]


def test_a_session_opens_in_a_round_trip_and_a_half() -> None:
    link = VirtualLink(Shape(delay=Constant(4)))
    begun = link.now
    link.open()
    assert link.now - begun <= 12 * MS
    assert all(end.association.counters["hellos"] <= 3 for end in link.ends)


def test_data_of_the_session_opens_it_if_the_last_hello_was_lost() -> None:
    ends = pair()
    now = SECOND
    ends[1].on_datagrams(ends[0].datagrams_to_send(now), now)  # 0 asks
    ends[0].on_datagrams(ends[1].datagrams_to_send(now), now)  # 1 asks back, and 0 is open
    assert [end.is_open for end in ends] == [True, False]
    ends[0].channels[0].send(b"data")
    ends[0].channels[0].flush()
    hello, data = ends[0].datagrams_to_send(now)
    assert data[:8] in ends[1].prefixes
    ends[1].on_datagram(data, now)
    assert ends[1].channels[0].receive() == [b"data"]
    ends[1].on_datagram(hello, now)
    assert ends[1].take_events() == [Opened()]


def test_an_end_whose_other_is_not_there_asks_at_a_bounded_rate() -> None:
    alone = pair()[0]
    now, asked = SECOND, 0
    while now < 61 * SECOND:
        asked += len(alone.datagrams_to_send(now))
        now = max(now, alone.next_timeout() or 0)
    assert 60 * 4 < asked < 60 * 8


def test_no_answer_is_longer_than_what_it_answers() -> None:
    """Whoever forges a sender's address gets no more sent there than it sends itself."""
    ends = pair()
    hellos = [end.datagrams_to_send(SECOND)[0] for end in ends]
    assert {len(hello) for hello in hellos} == {HELLO_BYTES}
    for asked in range(3):
        ends[0].on_datagram(hellos[1], SECOND + asked)
        assert len(b"".join(ends[0].datagrams_to_send(SECOND + asked))) <= len(hellos[1])


def test_no_answer_of_an_open_end_is_longer_than_what_it_answers() -> None:
    config = WindowConfig(dead_after_ns=60 * SECOND)
    ends = pair(config)
    talk(ends, SECOND)
    again = Association(LINK, 1, 1, config, random.Random("another incarnation"))
    now, hello = SECOND, b""
    for _ in range(10):  # beyond the attempts that were heard of
        now = max(now, again.next_timeout() or 0)
        (hello,) = again.datagrams_to_send(now)
    ends[0].datagrams_to_send(now)
    assert ends[0].is_open
    ends[0].on_datagram(hello, now)
    assert not ends[0].is_open
    assert 0 < len(b"".join(ends[0].datagrams_to_send(now))) <= len(hello)


def test_a_hello_that_comes_again_is_dropped_and_counted() -> None:
    ends = pair()
    sent = talk(ends, SECOND)
    assert all(end.is_open for end in ends)
    hellos = [datagram for datagram in sent if len(datagram) == HELLO_BYTES]
    before = ends[0].counters
    for hello in hellos:
        for end in ends:
            end.on_datagram(hello, SECOND)
    assert ends[0].counters["replayed"] + ends[1].counters["replayed"] == len(hellos)
    assert ends[0].counters["malformed"] + ends[1].counters["malformed"] == len(hellos)  # each had the other's own
    assert ends[0].datagrams_to_send(SECOND) == ends[1].datagrams_to_send(SECOND) == []
    assert ends[0].counters["hellos"] == before["hellos"]
    assert all(end.is_open for end in ends)


def test_hellos_of_earlier_sessions_do_nothing_in_a_later_one() -> None:
    ends = pair()
    old = talk(ends, SECOND)
    ends[0].end_session("test")
    talk(ends, 2 * SECOND)
    assert all(end.is_open for end in ends)
    for end in ends:
        end.take_events()
        end.on_datagrams(old, 2 * SECOND)
        assert end.is_open
        assert end.take_events() == []
        assert end.datagrams_to_send(2 * SECOND) == []


# -- and end ---------------------------------------------------------------------------------------------------------


@pytest.mark.covers("Z-9")
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 32), ends_by=st.sampled_from(("end_session", "silence", "other")))
def test_nothing_of_an_ended_session_arrives_in_the_next(seed: int, ends_by: str) -> None:
    shape = Shape(delay=Constant(5), loss=0.1, duplicate=0.1, reorder=0.2)
    link = VirtualLink(shape, WindowConfig(dead_after_ns=200 * MS), seed=seed)
    recorded: list[bytes] = []
    link.mangle = lambda datagram: [recorded.append(datagram) or datagram]
    link.open()
    rng = random.Random(seed)
    for session in range(3):
        sent = [b"%d %d" % (session, number) for number in range(50)]
        for frame in sent:
            assert link.ends[0].channels[0].send(frame, bytes(rng.randrange(2_000)))
        link.ends[0].channels[0].flush()
        link.run(rng.randrange(40) * MS)
        end_it(link, ends_by)
        assert link.run(60 * SECOND, lambda: all(end.association.is_open for end in link.ends))
        for end in link.ends:  # what an attacker has recorded comes again, in any order
            end.association.on_datagrams(rng.sample(recorded, len(recorded)), link.now)
        link.run(rng.randrange(40) * MS)
        assert link.ends[1].got == [[]]
        assert link.ends[0].association.is_open


def end_it(link: VirtualLink, ends_by: str) -> None:
    if ends_by == "silence":
        for way in link.ways:
            way.change(BLOCKED)
        assert link.run(SECOND, lambda: not any(end.association.is_open for end in link.ends))
        for way in link.ways:
            way.change(LAN)
    else:
        end = link.ends[ends_by == "other"]
        end.association.end_session("test")
        end.look()


def test_an_end_is_told_at_both_sides_with_its_reason() -> None:
    link = VirtualLink(LAN)
    link.open()
    link.ends[0].association.end_session("the queue is full")
    link.run(100 * MS)
    assert link.ends[0].events == [Opened(), Ended("the queue is full"), Opened()]
    assert link.ends[1].reasons() == ["the other end closed the session"]
    assert all(end.association.is_open for end in link.ends)


def test_what_had_arrived_can_be_received_after_the_end() -> None:
    link = VirtualLink(LAN)
    link.open()
    link.ends[1].reads = False
    channel = link.ends[1].channels[0]
    link.ends[0].channels[0].send(b"before the end")
    link.ends[0].channels[0].flush()
    link.send()
    link.ends[0].association.end_session("test")
    link.run(100 * MS)
    assert channel is not link.ends[1].channels[0]
    assert (channel.receive(), channel.receive()) == ([b"before the end"], [])
    assert channel.send(b"to nobody")
    channel.flush()
    link.run(100 * MS)
    assert link.ends[0].got == [[]]


def test_a_dead_end_is_noticed_in_time() -> None:
    link = VirtualLink(LAN)
    link.open()
    link.run(SECOND)
    link.ends[0].is_frozen = True
    frozen_at = link.now
    assert link.run(SECOND, lambda: not link.ends[1].association.is_open)
    assert CONFIG.dead_after_ns - CONFIG.keepalive_ns <= link.now - frozen_at
    assert link.now - frozen_at <= CONFIG.dead_after_ns + CONFIG.keepalive_ns
    assert link.ends[1].reasons()[0].startswith("no sign of life for")


def test_a_dead_end_is_noticed_in_time_while_data_waits_for_it() -> None:
    link = VirtualLink(LAN)
    link.open()
    link.ends[1].channels[0].send(bytes(1_000_000))
    link.ends[1].channels[0].flush()
    link.ends[0].is_frozen = True
    begun = link.now
    assert link.run(SECOND, lambda: not link.ends[1].association.is_open)
    assert link.now - begun <= CONFIG.dead_after_ns + CONFIG.keepalive_ns


def test_an_idle_session_lives_on_under_loss_and_sends_little() -> None:
    link = VirtualLink(Shape(delay=Constant(2), loss=0.1))
    link.open()
    link.run(60 * SECOND)
    assert [end.events for end in link.ends] == [[Opened()], [Opened()]]
    pings = 60 * SECOND // CONFIG.keepalive_ns
    assert all(end.association.counters["datagrams_sent"] < 2.5 * pings for end in link.ends)


def test_a_process_that_was_frozen_reads_before_it_judges() -> None:
    link = VirtualLink(LAN)
    link.open()
    link.run(SECOND)
    link.ends[0].is_frozen = True
    link.run(CONFIG.dead_after_ns // 2)
    link.ends[0].is_frozen = False
    link.run(10 * SECOND)
    assert [end.events for end in link.ends] == [[Opened()], [Opened()]]


def test_what_a_process_slept_through_is_not_held_against_the_other() -> None:
    """Nothing waits for it, as after a sleep that ate its socket's buffer: it asks, and the other end answers."""
    ends = pair()
    talk(ends, SECOND)
    late = SECOND + 10 * CONFIG.dead_after_ns
    asked = ends[0].datagrams_to_send(late)
    assert ends[0].is_open
    assert asked
    ends[1].on_datagrams(asked, late)
    ends[0].on_datagrams(ends[1].datagrams_to_send(late + MS), late + MS)
    assert ends[0].is_open
    now = late + MS
    while now < late + 2 * CONFIG.dead_after_ns:
        now = max(now, ends[0].next_timeout() or 0)
        ends[0].datagrams_to_send(now)
    assert [type(event) for event in ends[0].take_events()] == [Opened, Ended]  # it does not wait for ever


def test_close_tells_the_other_end_and_is_for_ever() -> None:
    ends = pair()
    talk(ends, SECOND)
    ends[1].on_datagrams(ends[0].close(SECOND), SECOND)
    assert not ends[1].is_open
    talk(ends, SECOND)
    assert ends[0].take_events()[-1] == Ended("closed")
    assert ends[0].next_timeout() is None
    assert ends[0].prefixes == ()
    assert ends[0].datagrams_to_send(10 * SECOND) == []


def test_a_time_that_was_read_a_little_earlier_does_no_harm() -> None:
    ends = pair()
    talk(ends, SECOND)
    for number in range(20):
        for end, other in (ends, reversed(ends)):
            end.channels[0].send(b"%d" % number)
            end.channels[0].flush()
            other.on_datagrams(end.datagrams_to_send(SECOND + number * MS - number % 3), SECOND + number * MS)
    assert [len(end.channels[0].receive()) for end in ends] == [20, 20]
    ends[1].on_datagrams(ends[0].close(SECOND), SECOND)
    assert not ends[1].is_open


# -- what is no datagram of ours -------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_garbage_is_dropped_and_counted_and_never_raises(data: st.DataObject) -> None:
    ends = pair()
    talk(ends, SECOND)
    prefix = data.draw(st.sampled_from((*ends[0].prefixes, b"", b"foreign.")))
    sizes = st.sampled_from((0, HELLO_BYTES - 8, HEADER_BYTES - 8, HEADER_BYTES))
    garbage = prefix + data.draw(st.one_of(st.binary(max_size=100), sizes.map(bytes)))
    ends[0].on_datagram(garbage, SECOND)
    counters = ends[0].counters
    if garbage[:8] not in ends[0].prefixes:
        assert counters["malformed"] == 1
    talk(ends, SECOND)
    ends[0].channels[0].receive()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_damaged_datagrams_of_a_session_never_raise_and_it_goes_on_or_ends(seed: int) -> None:
    """A carrier without tags may hand on anything; then frames are worth what the carrier is, but nothing breaks."""
    rng = random.Random(seed)

    def damage(datagram: bytes) -> list[bytes]:
        if rng.random() < 0.7:
            return [datagram]
        place = rng.randrange(8, min(len(datagram), HEADER_BYTES))
        flipped = bytes([datagram[place] ^ 1 << rng.randrange(8)])
        damaged = datagram[:place] + flipped + datagram[place + 1 :]
        return [damaged[: rng.randrange(len(damaged))] if rng.random() < 0.3 else damaged]

    link = VirtualLink(Shape(delay=Constant(2), loss=0.05), WindowConfig(receive_bytes_max=20_000), mangle=damage)
    for number in range(100):
        link.run(20 * MS)
        for end in link.ends:
            for channel in end.channels:
                channel.send(b"%d" % number, bytes(rng.randrange(3_000)))
                channel.flush()
    link.mangle = lambda datagram: [datagram]
    assert link.run(60 * SECOND, lambda: all(end.association.is_open for end in link.ends))


@pytest.mark.parametrize("keys", [
    {"mtu_bytes": 500}, {"mtu_bytes": 65_001}, {"receive_bytes_max": 2_000}, {"keepalive_ns": 500 * MS},
    {"keepalive_ns": 0}, {"mtu_bytes": 569, "tag_bytes": 16},
])  # fmt: skip
def test_a_config_that_cannot_work_is_refused(keys: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(keys))):
        WindowConfig(**keys)
