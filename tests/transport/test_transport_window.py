"""Whatever a network does to datagrams: the frames of a channel arrive in order, once, and go on arriving."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_link import MS, SECOND, VirtualLink

from lab.faults import Constant, Shape, Uniform
from lab.transport.datagram import ACK, DATA, HEADER_BYTES, PING, pack_head, pack_place, unpack_header
from lab.transport.ring import FRAME_BYTES_MAX
from lab.transport.seal import Seal
from lab.transport.shm import Channel
from lab.transport.window import MTU_MIN, WindowConfig

SMALL = WindowConfig(mtu_bytes=640, receive_bytes_max=4_000)


def frames_of(seed: int, count: int, size_max: int) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(rng.randrange(size_max) if rng.random() < 0.8 else 0) for _ in range(count)]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    loss=st.sampled_from((0.0, 0.01, 0.1, 0.4)),
    duplicate=st.sampled_from((0.0, 0.1)),
    reorder=st.sampled_from((0.0, 0.1, 0.5)),
    delay_ms=st.sampled_from((0.1, 2.0, 30.0)),
)
def test_frames_arrive_once_and_in_order_and_all_of_them(
    seed: int, loss: float, duplicate: float, reorder: float, delay_ms: float
) -> None:
    shape = Shape(delay=Uniform(delay_ms, 2 * delay_ms), loss=loss, duplicate=duplicate, reorder=reorder, hold_ms=1)
    config = WindowConfig(mtu_bytes=640, receive_bytes_max=4_000, dead_after_ns=60 * SECOND)
    link = VirtualLink(shape, config, channels=2, seed=seed)
    link.open()
    sent = [[frames_of(seed + 2 * side + channel, 30, 1_500) for channel in (0, 1)] for side in (0, 1)]
    rng = random.Random(seed)
    for number in range(30):
        for side, end in enumerate(link.ends):
            for channel in (0, 1):
                assert end.channels[channel].send(sent[side][channel][number])
                if rng.random() < 0.5:
                    end.channels[channel].flush()
        link.run(rng.randrange(20) * MS)
        assert_prefixes(link, sent)
    for end in link.ends:
        for channel in end.channels:
            channel.flush()
    assert link.run(60 * SECOND, lambda: has_all(link, sent))
    assert_prefixes(link, sent)
    assert [end.reasons() for end in link.ends] == [[], []]


def assert_prefixes(link: VirtualLink, sent: list[list[list[bytes]]]) -> None:
    for side, end in enumerate(link.ends):
        for channel, got in enumerate(end.got):
            assert got == sent[1 - side][channel][: len(got)]


def has_all(link: VirtualLink, sent: list[list[list[bytes]]]) -> bool:
    return all(end.got == sent[1 - side] for side, end in enumerate(link.ends))


@pytest.mark.parametrize("mtu_bytes", [MTU_MIN, 1_400, 9_000, 65_000])
def test_a_frame_of_many_datagrams_arrives_whole(mtu_bytes: int) -> None:
    link = VirtualLink(Shape(delay=Constant(1), loss=0.05), WindowConfig(mtu_bytes=mtu_bytes))
    link.open()
    frame = random.Random(1).randbytes(3_000_000)
    link.ends[0].channels[0].send(b"prefix", frame)
    link.ends[0].channels[0].flush()
    assert link.run(30 * SECOND, lambda: bool(link.ends[1].got[0]))
    assert link.ends[1].got[0] == [b"prefix" + frame]


# -- flow control and queues -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_a_process_that_does_not_receive_is_sent_no_more_than_its_limit(loss: float) -> None:
    config = WindowConfig(receive_bytes_max=100_000, dead_after_ns=2 * SECOND)
    link = VirtualLink(Shape(delay=Constant(2), loss=loss), config)
    link.open()
    link.ends[1].reads = False
    sent = [random.Random(number).randbytes(10_000) for number in range(50)]
    for frame in sent:
        assert link.ends[0].channels[0].send(frame)
    link.ends[0].channels[0].flush()
    link.run(5 * SECOND)
    held = link.ends[0].channels[0].bytes_sent
    assert 100_000 - 1_400 < held <= 100_000
    link.run(60 * SECOND)  # the session lives
    assert link.ends[0].channels[0].bytes_sent == held
    link.ends[1].reads = True
    link.ends[1].read()
    assert link.run(10 * SECOND, lambda: link.ends[1].got[0] == sent)


def test_a_channel_that_is_not_received_does_not_stop_another() -> None:
    link = VirtualLink(Shape(delay=Constant(2)), WindowConfig(receive_bytes_max=100_000), channels=2)
    link.open()
    link.ends[1].reads = False
    election, learner = link.ends[0].channels
    learner.send(bytes(1_000_000))
    learner.flush()
    link.run(100 * MS)
    election.send(b"vote")
    election.flush()
    link.run(100 * MS)
    assert link.ends[1].channels[0].receive() == [b"vote"]
    assert link.ends[1].channels[1].receive() == []


def test_a_limit_whose_announcement_was_lost_is_asked_for() -> None:
    link = VirtualLink(Shape(delay=Constant(2)), WindowConfig(receive_bytes_max=100_000))
    link.open()
    link.ends[1].reads = False
    link.ends[0].channels[0].send(bytes(150_000))
    link.ends[0].channels[0].flush()
    link.run(100 * MS)
    link.mangle = lambda _: []
    link.ends[1].read()
    link.send()  # the announcement
    link.mangle = lambda datagram: [datagram]
    link.ends[1].reads = True
    assert link.run(100 * MS, lambda: bool(link.ends[1].got[0]))


def test_a_process_that_begins_to_receive_is_sent_more_at_once() -> None:
    link = VirtualLink(Shape(delay=Constant(2)), WindowConfig(receive_bytes_max=100_000))
    link.open()
    link.ends[1].reads = False
    link.ends[0].channels[0].send(bytes(150_000))
    link.ends[0].channels[0].flush()
    link.run(SECOND + 5 * MS)
    link.ends[1].reads = True
    link.ends[1].read()
    assert link.run(12 * MS, lambda: bool(link.ends[1].got[0]))  # no PING, every 50 ms, has to ask


def test_a_limit_that_was_lost_is_asked_for_though_another_channel_is_busy() -> None:
    link = VirtualLink(Shape(delay=Constant(1)), WindowConfig(receive_bytes_max=64 << 10), channels=2)
    link.open()
    link.ends[1].reads = False
    busy, bulk = link.ends[0].channels
    bulk.send(bytes(150_000))
    bulk.flush()
    link.run(50 * MS)
    link.mangle = lambda _: []
    link.ends[1].read()
    link.send()  # the announcement
    link.mangle = lambda datagram: [datagram]
    link.ends[1].reads = True
    for _ in range(20):
        busy.send(b"vote")
        busy.flush()
        link.run(10 * MS)
    assert link.ends[1].got == [[b"vote"] * 20, [bytes(150_000)]]


def test_who_asks_for_a_limit_is_told_it_though_another_channel_has_data() -> None:
    link = VirtualLink(channels=2)
    link.open()
    asking, asked = (end.association for end in link.ends)
    prefix, number = asked.prefixes[1], asking._window.recovery.next_number
    link.ends[1].channels[0].send(b"vote")
    link.ends[1].channels[0].flush()
    asked.on_datagram(pack_head(prefix, (0, 0), 1 << 20, 1, 0, PING, 1) + pack_place(number, 0, 0), link.now)
    headers = [unpack_header(datagram) for datagram in asked.datagrams_to_send(link.now)]
    assert [(kind, channel) for *_, kind, channel, _, _, _ in headers] == [(DATA, 0), (ACK, 1)]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1 << 32), loss=st.sampled_from((0.0, 0.1, 0.3)), slow=st.sampled_from((0, 1)))
def test_a_slow_reader_of_one_channel_gets_everything_beside_a_busy_one(seed: int, loss: float, slow: int) -> None:
    shape = Shape(delay=Constant(1), loss=loss)
    link = VirtualLink(shape, WindowConfig(receive_bytes_max=8_000, dead_after_ns=60 * SECOND), channels=2, seed=seed)
    link.open()
    link.ends[1].reads = False
    rng, got = random.Random(seed), list[bytes]()
    sent = frames_of(seed, 60, 2_000)
    for frame in sent:
        link.ends[0].channels[slow].send(frame)
    link.ends[0].channels[slow].flush()
    deadline = link.now + 30 * SECOND
    while got != sent and link.now < deadline:
        for end in link.ends:
            end.channels[1 - slow].send(b"busy")
            end.channels[1 - slow].flush()
        link.run(10 * MS)  # less than a keep-alive
        link.ends[1].channels[1 - slow].receive()
        if rng.random() < 0.2:
            got += link.ends[1].channels[slow].receive()
    assert got == sent


def test_20_mib_pass_through_a_small_window() -> None:
    link = VirtualLink(Shape(delay=Constant(1), loss=0.01), WindowConfig(mtu_bytes=9_000, receive_bytes_max=1 << 18))
    link.open()
    frame = bytes(20 << 20)
    assert link.ends[0].channels[0].send(b"snapshot", frame)
    link.ends[0].channels[0].flush()
    assert link.run(10 * SECOND, lambda: bool(link.ends[1].got[0]))
    assert link.ends[1].got == [[b"snapshot" + frame]]


def test_the_election_channel_overtakes_bulk() -> None:
    shape = Shape(delay=Constant(5), bytes_per_s=1e6, queue_bytes=1 << 16)
    link = VirtualLink(shape, channels=2)
    link.open()
    election, learner = link.ends[0].channels
    learner.send(bytes(10_000_000))
    learner.flush()
    link.run(SECOND)
    election.send(b"vote")
    election.flush()
    assert link.run(200 * MS, lambda: link.ends[1].got[0] == [b"vote"])  # 5 ms of way, up to 65 ms of queue
    assert link.ends[1].got[1] == []


def test_the_election_channel_does_not_wait_for_the_congestion_window() -> None:
    link = VirtualLink(channels=2)
    link.open()
    election, learner = link.ends[0].channels
    association = link.ends[0].association
    learner.send(bytes(1_000_000))
    learner.flush()
    while association.datagrams_to_send(link.now):
        assert association.counters["datagrams_sent"] < 100
    assert learner.bytes_sent < 1_000_000
    for channel in (learner, election):
        channel.send(b"more")
        channel.flush()
    (datagram,) = association.datagrams_to_send(link.now)
    assert datagram.endswith(b"more")
    assert election.bytes_sent == 8


@pytest.mark.covers("X-41")
def test_a_queue_that_overflows_breaks_the_channel_until_it_is_cleared() -> None:
    link = VirtualLink(Shape(delay=Constant(1)), WindowConfig(queue_bytes_max=100_000, receive_bytes_max=50_000))
    link.open()
    channel, frames = link.ends[0].channels[0], [b"%3d" % number + bytes(9_000) for number in range(30)]
    link.ends[1].reads = False
    accepted = 0
    while channel.send(frames[accepted]):
        accepted += 1
        channel.flush()
        link.run(10 * MS)
    assert channel.broken
    assert channel.frames_sent == accepted == 16  # as much as is under way, and as may wait
    assert not channel.send(b"small")
    channel.clear_queue()
    kept = channel.frames_sent
    assert not channel.broken
    assert kept == 6  # the last one is on the wire in part
    assert channel.send(b"after")
    channel.flush()
    link.ends[1].reads = True
    link.ends[1].read()
    assert link.run(SECOND, lambda: link.ends[1].got[0][-1:] == [b"after"])
    assert link.ends[1].got[0] == [*frames[:kept], b"after"]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_clearing_the_queue_drops_whole_frames_from_its_end(seed: int) -> None:
    rng = random.Random(seed)
    link = VirtualLink(Shape(delay=Constant(2), loss=0.05), SMALL, seed=seed)
    link.open()
    channel, sent = link.ends[0].channels[0], list[bytes]()
    for number in range(100):
        step = rng.random()
        if step < 0.6:
            frame = b"%d " % number + bytes(rng.choice((0, 10, 3_000)))
            assert channel.send(frame)
            sent.append(frame)
        elif step < 0.8:
            channel.flush()
        elif step < 0.9:
            link.run(rng.randrange(10) * MS)
        else:
            channel.clear_queue()
            del sent[channel.frames_sent :]
        assert channel.frames_sent == len(sent)
    channel.flush()
    assert link.run(60 * SECOND, lambda: link.ends[1].got[0] == sent)


def test_the_surface_is_that_of_a_channel_over_shared_memory() -> None:
    public = {name for name in dir(Channel) if not name.startswith("_")} | {"send", "receive", "flush"}
    link = VirtualLink()
    link.open()
    (channel,) = link.ends[0].channels
    assert public <= set(dir(channel))
    assert not channel.wants_flush()
    channel.send(b"a", b"b")
    assert channel.wants_flush()
    assert channel.flush()
    assert not channel.wants_flush()
    link.ends[1].reads = False
    link.run(10 * MS)
    (other,) = link.ends[1].channels
    assert other.has_input()
    assert other.receive() == [b"ab"]
    assert not other.has_input()
    with pytest.raises(ValueError, match="at most"):
        channel.send(bytes(FRAME_BYTES_MAX + 1))


def test_a_length_that_no_frame_has_ends_the_session_after_the_frames_before_it() -> None:
    link = VirtualLink(Shape(delay=Constant(1)))
    link.open()
    link.ends[0].channels[0].send(b"fine")
    link.ends[0].channels[0].flush()
    link.send()
    raw = link.ends[0].channels[0]._out
    raw._flushed.append((FRAME_BYTES_MAX + 1).to_bytes(4, "little") + b"behind")
    raw.waiting_bytes += 10
    link.ends[0].channels[0].send(b"wakes it")
    link.ends[0].channels[0].flush()
    channel = link.ends[1].channels[0]
    link.ends[1].reads = False
    link.run(5 * MS)
    assert (channel.receive(), channel.receive()) == ([b"fine"], [])
    link.send()
    assert link.ends[1].reasons() == [f"a frame of {FRAME_BYTES_MAX + 1} bytes: at most {FRAME_BYTES_MAX} can be sent"]


# -- acknowledgements ------------------------------------------------------------------------------------------------


def test_a_datagram_that_comes_again_is_counted_and_not_delivered() -> None:
    link = VirtualLink(Shape(delay=Constant(1), duplicate=1.0))
    link.open()
    for number in range(20):
        link.ends[0].channels[0].send(b"%d" % number)
        link.ends[0].channels[0].flush()
        link.run(3 * MS)
    assert link.ends[1].got[0] == [b"%d" % number for number in range(20)]
    assert link.ends[1].association.counters["replayed"] >= 20


def test_acknowledgements_ride_on_data() -> None:
    link = VirtualLink(Shape(delay=Constant(1)))
    link.open()
    before = [end.association.counters["datagrams_sent"] for end in link.ends]
    for number in range(50):
        for end in link.ends:
            end.channels[0].send(b"%d" % number)
            end.channels[0].flush()
        link.run(MS // 2)
    for end, sent in zip(link.ends, before, strict=True):
        assert end.association.counters["datagrams_sent"] - sent <= 52


def test_a_burst_is_acknowledged_by_one_datagram_and_a_lone_one_within_a_millisecond() -> None:
    link = VirtualLink(Shape(delay=Constant(1)))
    link.open()
    link.run(10 * MS)
    out = link.ends[0].channels[0]
    for size in (100, 10_000):
        sent = link.ends[1].association.counters["datagrams_sent"]
        out.send(bytes(size))
        out.flush()
        link.run(4 * MS)
        assert link.ends[1].association.counters["datagrams_sent"] == sent + 1
        assert not link.ends[0].association._window.recovery.in_flight


def test_what_was_only_overtaken_is_not_sent_again_for_long() -> None:
    shape = Shape(delay=Constant(10), reorder=0.05)
    link = VirtualLink((Shape(delay=Constant(10)), shape))
    link.open()
    for _ in range(20):
        link.ends[0].channels[0].send(bytes(100_000))
        link.ends[0].channels[0].flush()
        link.run(100 * MS)
    counters = link.ends[0].association.counters
    assert link.ways[1].reordered > 30
    assert counters["retransmitted"] == counters["spurious"] < 150  # in the first rounds
    assert link.ends[1].got[0] == [bytes(100_000)] * 20


def test_a_burst_is_a_run_of_datagrams_of_one_length_but_for_the_last() -> None:
    link = VirtualLink()
    link.open()
    link.ends[0].channels[0].send(bytes(10_000))
    link.ends[0].channels[0].flush()
    sizes = [len(datagram) for datagram in link.ends[0].association.datagrams_to_send(link.now)]
    assert sizes[:-1] == [1_400] * (len(sizes) - 1)
    assert sum(sizes) == 10_004 + len(sizes) * HEADER_BYTES


def test_a_datagram_leaves_room_for_the_tag() -> None:
    link = VirtualLink(config=WindowConfig(tag_bytes=16))
    link.open()
    link.ends[0].channels[0].send(bytes(10_000))
    link.ends[0].channels[0].flush()
    assert max(map(len, link.ends[0].association.datagrams_to_send(link.now))) == 1_384


def assert_arrives(seed: int, mangle: Callable[[bytes], list[bytes]]) -> None:
    """Frames, whole and in order, over a way that does this to datagrams."""
    link = VirtualLink(Shape(delay=Constant(2)), WindowConfig(dead_after_ns=10 * SECOND), seed=seed, mangle=mangle)
    link.open()
    sent = frames_of(seed, 50, 3_000)
    for frame in sent:
        link.ends[0].channels[0].send(frame)
    link.ends[0].channels[0].flush()
    assert link.run(20 * SECOND, lambda: link.ends[1].got[0] == sent)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_what_is_damaged_or_cut_on_the_way_is_as_good_as_lost_where_datagrams_carry_a_tag(seed: int) -> None:
    rng, seal = random.Random(seed), Seal(bytes(32))

    def damage(datagram: bytes) -> list[bytes]:
        sealed = seal.seal(datagram)
        if rng.random() < 0.1:
            place = rng.randrange(len(sealed))
            sealed = sealed[:place] + bytes([sealed[place] ^ 1 << rng.randrange(8)]) + sealed[place + 1 :]
        if rng.random() < 0.1:
            sealed = sealed[: rng.randrange(len(sealed))]
        opened = seal.open(sealed)
        return [] if opened is None else [opened]

    assert_arrives(seed, damage)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_what_is_cut_on_the_way_is_as_good_as_lost_without_a_tag_too(seed: int) -> None:
    """Its size stands in it; of what is longer than it says nothing is believed either."""
    rng = random.Random(seed)

    def damage(datagram: bytes) -> list[bytes]:
        if rng.random() < 0.1:
            return [datagram[: rng.randrange(len(datagram))]]
        return [datagram + bytes(rng.randrange(1, 9))] if rng.random() < 0.05 else [datagram]

    assert_arrives(seed, damage)


def test_gaps_are_told_ahead_of_data() -> None:
    link = VirtualLink()
    link.open()
    link.ends[0].channels[0].send(bytes(10_000))
    link.ends[0].channels[0].flush()
    datagrams = link.ends[0].association.datagrams_to_send(link.now)
    other = link.ends[1].association
    other.on_datagrams(datagrams[:2] + datagrams[4:], link.now)
    link.ends[1].channels[0].send(b"answer")
    link.ends[1].channels[0].flush()
    told, answer = other.datagrams_to_send(link.now)
    assert len(told) == HEADER_BYTES + 8  # one range more than fits into a header
    assert answer.endswith(b"answer")
    link.ends[0].association.on_datagrams([told], link.now)
    again = link.ends[0].association.datagrams_to_send(link.now)
    other.on_datagrams(again, link.now)
    assert other.channels[0].receive() == [bytes(10_000)]
    assert len(again) == 2


def test_an_acknowledgement_of_what_was_never_sent_is_malformed() -> None:
    link = VirtualLink()
    link.open()
    end = link.ends[0].association
    link.ends[0].channels[0].send(b"data")
    link.ends[0].channels[0].flush()
    end.datagrams_to_send(link.now)
    for largest, malformed in ((1, 0), (2, 1), (1 << 40, 2)):
        forged = pack_head(end.prefixes[1], (0, largest), 1 << 20, 1, 0, ACK, 0) + pack_place(1, 0, 0)
        end.on_datagram(forged, link.now)
        assert end.counters["malformed"] == malformed
    assert end.is_open
