"""A journal says what a recorder would have said, up to the moment at which its writer was killed."""

from pathlib import Path

import pytest
from test_bench_recorder import WRITES, TwoSessions, frame, of

from lab.bench.handover import HandoverError
from lab.bench.journal import Journal, read_journal, read_slices
from lab.bench.recorder import SAMPLE_EVERY, Part, Recorder
from lab.client.history import COLUMNS, History, Outcome
from lab.client.load_sessions import decode_answers
from lab.service.requests import Data, Done, Failed
from workloads.kinds.read_mix import ReadMix, ReadMixGenerator

NAMES = [name for name, _ in COLUMNS]


def use(notes: Recorder | Journal) -> None:
    """A life in two sessions: a set-up, answers, a failure, a loss, a batch that was not sent, one never answered."""
    notes.sent(0, 1, 5, 100, Part.SETUP)
    notes.arrived(0, frame(*(Done(cxid, 10 + cxid, 0) for cxid in range(1, 6))), 5, 110)
    notes.sent(1, 6, 1, 120, Part.SYNC)
    notes.arrived(1, frame(Done(6, 15, -1)), 1, 121)
    notes.sent(0, 7, 2, 130, Part.LOAD)
    notes.sent(1, 9, 2, 131, Part.LOAD)
    notes.arrived(1, frame(Done(9, 20, 1), Failed(10, 21, -103)), 2, 140)
    notes.sent(1, 11, 3, 150, Part.LOAD)
    notes.unsent()
    notes.arrived(0, None, 2, 155)
    notes.sent(1, 11, 3, 160, Part.LOAD)
    notes.arrived(1, frame(Done(11, 22, 2)), 1, 170)


def journal(path: Path, read_share: float = 0.0, reads_checked_max: int = 100) -> Journal:
    return Journal(path, 0, TwoSessions(), read_share, reads_checked_max)


def read(path: Path, generator: ReadMixGenerator = WRITES) -> History | None:
    return read_journal(path, decode_answers, lambda _: generator)


def test_it_says_what_a_recorder_would(tmp_path: Path) -> None:
    recorder = Recorder(TwoSessions(), 0, 0.0, 100)
    use(recorder)
    use(journal(tmp_path / "j"))
    told, expected = read(tmp_path / "j"), recorder.history(WRITES, None)
    assert told is not None
    assert (told.client, told.sessions) == (0, [71, 72])
    assert of(told, *NAMES) == of(expected, *NAMES)
    assert of(told, "cxid") == [[1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13]]


def test_in_slices_it_says_the_same_and_no_operation_is_parted_from_its_answer(tmp_path: Path) -> None:
    notes = journal(tmp_path / "j")
    for first in range(1, 40, 4):  # two conversations overlap, then nothing is outstanding
        notes.sent(0, first, 2, first, Part.LOAD)
        notes.sent(1, first + 2, 2, first, Part.LOAD)
        for session, cxid in ((1, first + 2), (0, first)):
            notes.arrived(session, frame(Done(cxid, 100 + cxid, 1), Done(cxid + 1, 101 + cxid, 1)), 2, first + 9)
    notes.sent(0, 41, 1, 41, Part.LOAD)
    whole = read(tmp_path / "j")
    assert whole is not None
    parts = list(read_slices(tmp_path / "j", decode_answers, lambda _: WRITES, 6))
    assert [len(part) for part in parts] == [8, 8, 8, 8, 8, 1]
    for name in NAMES:
        assert [value for part in parts for value in part.columns[name]] == list(whole.columns[name])
    assert [list(part.columns["outcome"]) for part in parts][-1] == [Outcome.UNKNOWN]


def test_wherever_it_was_torn_what_stands_before_is_told(tmp_path: Path) -> None:
    use(journal(tmp_path / "j"))
    data, lengths = (tmp_path / "j").read_bytes(), set()
    for size in range(len(data)):
        (tmp_path / "torn").write_bytes(data[:size])
        told = read(tmp_path / "torn")
        lengths.add(-1 if told is None else len(told))
        if told is not None:
            outcomes = told.columns["outcome"]
            answered = [
                cxid for cxid, how in zip(told.columns["cxid"], outcomes, strict=True) if how != Outcome.UNKNOWN
            ]
            assert set(answered) <= {1, 2, 3, 4, 5, 9, 10, 11}
    assert lengths == {-1, 0, 5, 7, 9, 12}, "no note is half told"


def test_nothing_is_told_of_a_process_that_noted_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "never made") is None
    (tmp_path / "empty").touch()
    assert read(tmp_path / "empty") is None


def test_reads_are_sampled_before_they_are_noted(tmp_path: Path) -> None:
    half = ReadMixGenerator(ReadMix(keys=4, reads=0.5), 1, 0)
    made = journal(tmp_path / "j", read_share=0.5, reads_checked_max=0)
    for i in range(SAMPLE_EVERY):
        made.sent(0, 1 + 2 * i, 2, 100, Part.LOAD)
        made.arrived(0, frame(Data(1 + 2 * i, 50, 40, 2, b"x" * 9), Done(2 + 2 * i, 51, 3)), 2, 200 + i)
    told = read(tmp_path / "j", half)
    assert told is not None
    assert list(told.columns["intact"][::2]) == [-1] * (SAMPLE_EVERY - 1) + [0]
    assert list(told.columns["zxid"][1::2]) == [51] * SAMPLE_EVERY


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(HandoverError, match=r"no such folder/j: .*--data-dir"):
        journal(tmp_path / "no such folder" / "j")
    journal(tmp_path / "j")
    with pytest.raises(HandoverError, match="/j: File exists"):
        journal(tmp_path / "j")
