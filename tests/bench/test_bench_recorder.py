"""From batches sent and frames received to the rows of a history."""

import pytest

from lab.bench.arrivals import parse_arrivals
from lab.bench.recorder import SAMPLE_EVERY, Part, Recorder, ReplyMismatchError
from lab.bench.schedule import Schedule
from lab.client.history import History, Kind, Outcome
from lab.client.load_sessions import LoadSessions, decode_answers
from lab.service.requests import Created, Data, Done, Failed, MultiDone, MultiFailed, encode_frame
from workloads.kinds.read_mix import ReadMix, ReadMixGenerator

WRITES = ReadMixGenerator(ReadMix(keys=4), 1, 0)


class TwoSessions:
    """What a recorder asks of sessions."""

    @property
    def ids(self):
        return [71, 72]

    def decode(self, frame):
        return decode_answers(frame)

    without_reads = LoadSessions.without_reads


def recorder(read_share: float = 0.0, reads_checked_max: int = 100) -> Recorder:
    return Recorder(TwoSessions(), 0, read_share, reads_checked_max)


def frame(*replies: object) -> bytes:
    return encode_frame(list(replies))


def of(history: History, *names: str) -> list[list[int]]:
    return [history.columns[name].tolist() for name in names]


def test_rows_stand_in_the_order_of_sending_whatever_session_they_went_to() -> None:
    made = recorder()
    made.sent(0, 10, 2, 100, Part.LOAD)
    made.sent(1, 12, 1, 101, Part.LOAD)
    made.sent(0, 13, 1, 102, Part.LOAD)
    made.arrived(1, frame(Done(12, 50, 3)), 1, 200)
    made.arrived(0, frame(Done(10, 51, 4)), 1, 201)
    made.arrived(0, frame(Done(11, 52, 5), Done(13, 53, 6)), 2, 202)
    history = made.history(WRITES, None)
    assert of(history, "cxid", "session", "sent_ns", "done_ns", "zxid", "version") == [
        [10, 11, 12, 13], [0, 0, 1, 0], [100, 100, 101, 102], [201, 202, 200, 202], [51, 52, 50, 53], [4, 5, 3, 6],
    ]  # fmt: skip
    assert of(history, "kind", "key") == [list(WRITES.kinds(10, 4)), list(WRITES.keys(10, 4))]


def test_what_was_lost_and_what_was_never_answered_is_unknown() -> None:
    made = recorder()
    made.sent(0, 1, 4, 100, Part.LOAD)
    made.arrived(0, frame(Done(1, 50, 1)), 1, 200)
    made.arrived(0, None, 3, 201)
    made.sent(0, 5, 2, 102, Part.LOAD)
    made.arrived(0, frame(Failed(5, 60, -103)), 1, 203)
    history = made.history(WRITES, None)
    acknowledged, failed, unknown = Outcome.ACKNOWLEDGED, Outcome.FAILED, Outcome.UNKNOWN
    assert of(history, "outcome", "done_ns", "zxid", "version") == [
        [acknowledged, unknown, unknown, unknown, failed, unknown],
        [200, 0, 0, 0, 203, 0],
        [50, -1, -1, -1, 60, -1],
        [1, -1, -1, -1, -1, -1],
    ]


def test_replies_of_other_kinds_of_writes_are_read_like_any() -> None:
    made = recorder()
    made.sent(0, 1, 4, 100, Part.LOAD)
    replies = (
        Created(1, 50, "/q-0000000000"),
        MultiDone(2, 51, [3, "/a"]),
        Done(3, 52, 7),
        MultiFailed(4, 53, [0, -101]),
    )
    made.arrived(0, frame(*replies), 4, 200)
    acknowledged, failed = Outcome.ACKNOWLEDGED, Outcome.FAILED
    assert of(made.history(WRITES, None), "outcome", "zxid", "version") == [
        [acknowledged, acknowledged, acknowledged, failed], [50, 51, 52, 53], [0, -1, 7, -1],
    ]  # fmt: skip


def test_creates_of_the_set_up_are_writes_and_syncs_are_left_out() -> None:
    made = recorder()
    made.sent(0, 1, 1, 100, Part.SETUP)
    made.sent(0, 2, 4, 101, Part.SETUP)
    made.sent(0, 6, 1, 102, Part.SYNC)
    made.arrived(0, frame(*(Done(cxid, 10 + cxid, 0) for cxid in range(1, 7))), 6, 200)
    history = made.history(WRITES, None)
    assert of(history, "cxid", "key", "kind") == [[1, 2, 3, 4, 5], [-1, 0, 1, 2, 3], [Kind.WRITE] * 5]


def test_replies_to_other_requests_are_an_error() -> None:
    made = recorder()
    made.sent(0, 1, 2, 100, Part.LOAD)
    made.arrived(0, frame(Done(2, 50, 1), Done(1, 51, 1)), 2, 200)
    with pytest.raises(ReplyMismatchError, match=r"replies to \[2, 1\], outstanding were \[1, 2\]"):
        made.history(WRITES, None)


def test_values_are_examined() -> None:
    reads = ReadMixGenerator(ReadMix(keys=4, reads=1.0), 1, 0)
    made = recorder(read_share=1.0)
    made.sent(0, 1, 3, 100, Part.LOAD)
    intact, damaged = WRITES.value(9), WRITES.value(9)[:-1] + b"?"
    made.arrived(0, frame(*(Data(i, 50, 40, 2, value) for i, value in enumerate((intact, damaged, b"?"), 1))), 3, 200)
    history = made.history(reads, None)
    assert of(history, "writer", "writer_cxid", "intact", "mzxid") == [
        [0, 0, -1], [9, 9, -1], [1, 0, 0], [40, 40, 40],
    ]  # fmt: skip


def test_sampled_out_reads_keep_their_times_and_no_write_is_lost() -> None:
    half = ReadMixGenerator(ReadMix(keys=4, reads=0.5), 1, 0)
    made = recorder(read_share=0.5, reads_checked_max=0)
    for i in range(SAMPLE_EVERY):
        made.sent(0, 1 + 2 * i, 2, 100, Part.LOAD)
        made.arrived(0, frame(Data(1 + 2 * i, 50, 40, 2, b"x" * 9), Done(2 + 2 * i, 51, 3)), 2, 200 + i)
    history = made.history(half, None)
    reads, writes = history.columns["intact"][::2], history.columns["zxid"][1::2]
    assert list(reads) == [-1] * (SAMPLE_EVERY - 1) + [0], "one frame of many is kept whole"
    assert list(writes) == [51] * SAMPLE_EVERY
    assert set(history.columns["outcome"]) == {Outcome.ACKNOWLEDGED}
    assert history.columns["done_ns"][0] == 200


def test_an_answer_to_what_was_not_outstanding_is_an_error_among_sampled_frames_too() -> None:
    made = recorder(read_share=0.5, reads_checked_max=0)
    made.sent(0, 1, 2, 100, Part.LOAD)
    made.arrived(0, frame(Data(1, 50, 40, 2, b""), Done(7, 51, 3)), 2, 200)
    with pytest.raises(ReplyMismatchError, match=r"replies to \[7\], which were not outstanding"):
        made.history(WRITES, None)


def test_an_open_loop_has_its_intended_times_in_the_history() -> None:
    made = recorder()
    made.sent(0, 1, 5, 90, Part.SETUP)
    made.sent(0, 6, 2, 100, Part.LOAD)
    made.sent(1, 8, 1, 101, Part.LOAD)
    schedule = Schedule(parse_arrivals("constant"), 1e9, 1, 0, 1, 11)
    for count, held_ns in ((2, 0), (1, 95)):
        schedule.issue(count, held_ns)
    history = made.history(WRITES, schedule)
    assert of(history, "sent_ns", "actual_ns", "held_ns") == [
        [90] * 5 + [11, 12, 13], [90] * 5 + [100, 100, 101], [0] * 7 + [95]
    ]  # fmt: skip


def test_a_closed_loop_has_no_times_but_that_of_sending() -> None:
    assert "actual_ns" not in recorder().history(WRITES, None).columns
