"""Times of histories that were read from another host's clock."""

from array import array

from lab.client.history import History

DAY_NS = 86_400 * 10**9


def a_history(*, open_loop: bool = False) -> History:
    """Three operations, the second without a reply; in an open loop the first was held back until 8."""
    history = History(1, [7], open_loop=open_loop)
    history.columns["kind"] = array("q", [1, 1, 0])
    history.columns["sent_ns"] = array("q", [10, 20, 30])
    history.columns["done_ns"] = array("q", [15, 0, 45])
    if open_loop:
        history.columns["actual_ns"] = array("q", [11, 21, 31])
        history.columns["held_ns"] = array("q", [8, 0, 0])
    return history


def test_every_time_is_shifted_alike_and_what_never_happened_stays_so() -> None:
    history = a_history(open_loop=True)
    history.shift(-DAY_NS)
    assert history.columns["sent_ns"].tolist() == [10 - DAY_NS, 20 - DAY_NS, 30 - DAY_NS]
    assert history.columns["done_ns"].tolist() == [15 - DAY_NS, 0, 45 - DAY_NS]
    assert history.columns["actual_ns"].tolist() == [11 - DAY_NS, 21 - DAY_NS, 31 - DAY_NS]
    assert history.columns["held_ns"].tolist() == [8 - DAY_NS, 0, 0]


def test_in_doubt_operations_are_as_wide_as_their_clock_is_uncertain() -> None:
    history = a_history()
    history.clock_doubt_ns = 3
    wide = history.in_doubt()
    assert wide.columns["sent_ns"].tolist() == [7, 17, 27]
    assert wide.columns["done_ns"].tolist() == [18, 0, 48]
    assert (wide.client, wide.sessions, len(wide)) == (1, [7], 3)
    assert history.columns["sent_ns"].tolist() == [10, 20, 30], "what is measured stays as it was"


def test_without_doubt_a_history_is_itself() -> None:
    history = a_history()
    assert history.in_doubt() is history
