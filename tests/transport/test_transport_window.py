"""Whatever a network does to datagrams: the frames of a channel arrive in order, once, and go on arriving."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_link import MS, SECOND, VirtualLink

from lab.faults import Constant, Shape, Uniform
from lab.transport.window import WindowConfig

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


@pytest.mark.parametrize("mtu_bytes", [640, 1_400, 9_000, 65_000])
def test_a_frame_of_many_datagrams_arrives_whole(mtu_bytes: int) -> None:
    link = VirtualLink(Shape(delay=Constant(1), loss=0.05), WindowConfig(mtu_bytes=mtu_bytes))
    link.open()
    frame = random.Random(1).randbytes(3_000_000)
    link.ends[0].channels[0].send(b"prefix", frame)
    link.ends[0].channels[0].flush()
    assert link.run(30 * SECOND, lambda: bool(link.ends[1].got[0]))
    assert link.ends[1].got[0] == [b"prefix" + frame]
