"""What the sender of a session makes of acknowledgements, whichever of them arrive, and in whatever order."""

from virtual_link import MS

from lab.transport.recovery import Recovery, Rtt
from lab.transport.streams import OutStream, Stretch

PIECE_BYTES = 100


def with_in_flight(count: int) -> tuple[Recovery, OutStream]:
    """So many datagrams left at time 0, in one burst."""
    recovery = Recovery(PIECE_BYTES, Rtt(10 * MS))
    stream = OutStream(1 << 20, PIECE_BYTES, lambda: None)
    blob = bytes(count * PIECE_BYTES)
    recovery.add(count, 0, stream, Stretch(0, blob, 0, len(blob)))
    return recovery, stream


def test_what_was_told_missing_before_three_later_ones_is_lost() -> None:
    recovery, stream = with_in_flight(10)
    recovery.on_ack((8, 10), [(1, 1)], 0, 10 * MS)
    assert [(each.offset, each.end - each.begin) for each in stream.lost] == [(100, 600)]


def test_an_old_acknowledgement_that_comes_again_loses_nothing() -> None:
    recovery, stream = with_in_flight(10)
    recovery.on_ack((1, 1), [], 0, 10 * MS)
    recovery.on_ack((8, 10), None, 0, 10 * MS)  # rides on data: of what is below it was no room to tell
    in_flight = recovery.in_flight
    recovery.on_ack((1, 1), [], 0, 10 * MS)
    assert not stream.lost
    assert recovery.in_flight == in_flight
    recovery.on_ack((2, 10), [], 0, 10 * MS)
    assert recovery.in_flight == 0
    assert recovery.spurious_total == 0
