"""Going to sleep and being rung."""

import os
from collections.abc import Iterator

import pytest

from lab.transport.bell import Bell
from lab.transport.waiter import LOOK_EVERY_WAITS, PATIENCE_NS, Wait, Waiter


@pytest.fixture
def bell() -> Iterator[Bell]:
    bell = Bell.create()
    yield bell
    bell.close()


@pytest.fixture
def waiter(bell: Bell) -> Iterator[Waiter]:
    waiter = Waiter(bell, Wait.BLOCKING)
    yield waiter
    waiter.close()


def test_it_says_that_it_sleeps_before_it_looks_for_input(bell: Bell, waiter: Waiter) -> None:
    def has_input() -> bool:
        bell.announce()  # a writer that publishes right now
        return False

    waiter.wait(60_000, has_input)  # returns: the writer saw a sleeper and rang


def test_it_does_not_sleep_on_input(waiter: Waiter) -> None:
    assert waiter.wait(60_000, lambda: True) == []


def test_nobody_rings_a_process_that_is_awake(bell: Bell, waiter: Waiter) -> None:
    waiter.wait(60_000, lambda: True)
    bell.announce()
    slept = []
    waiter.wait(1, lambda: slept.append(True) is not None)
    assert slept, "a ring would have been left in the bell"


def test_a_full_bell_does_not_block(bell: Bell) -> None:
    for _ in range(100_000):
        bell.ring()
    bell.drain()
    bell.drain()


def test_without_eventfd_an_unlinked_fifo_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.eventfd")
    bell = Bell.create()
    waiter = Waiter(bell)
    try:
        for _ in range(100_000):  # more than a pipe holds
            bell.ring()
        waiter.wait(60_000, lambda: False)
    finally:
        waiter.close()
        bell.close()


def test_without_memfd_the_page_is_an_unlinked_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.memfd_create")
    bell = Bell.create()
    bell.set_sleeping(True)
    bell.close()


def test_news_is_taken_once(bell: Bell) -> None:
    assert not bell.take_news()
    bell.announce()
    assert bell.has_news()
    assert bell.take_news()
    assert not bell.has_news()
    assert not bell.take_news()


class Time:
    """A clock that only giving the core away moves; what is awaited comes at `input_ns`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns, self.input_ns, self.yields = 0, 0, 0
        monkeypatch.setattr("lab.transport.waiter.monotonic_ns", lambda: self.now_ns)
        monkeypatch.setattr("lab.transport.waiter._yield", self._yield)

    def _yield(self) -> None:
        self.now_ns += 10_000
        self.yields += 1

    def has_input(self) -> bool:
        return self.now_ns >= self.input_ns

    def wait(self, waiter: Waiter, needed_ns: int) -> int:
        """One wait that input ends after so long; returns how often the core was given away meanwhile."""
        self.input_ns, before = self.now_ns + needed_ns, self.yields

        def has_input() -> bool:
            if waiter.bell._words[0]:  # about to sleep: what is slept through passes at once
                self.now_ns = max(self.now_ns, self.input_ns)
            return self.has_input()

        waiter.wait(60_000, has_input)
        return self.yields - before


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


@pytest.mark.parametrize(("wait", "yields"), [(Wait.BLOCKING, 0), (Wait.ADAPTIVE, 5), (Wait.SPIN, 5)])
def test_a_short_wait(bell: Bell, time: Time, wait: Wait, yields: int) -> None:
    waiter = Waiter(bell, wait)
    assert time.wait(waiter, 50_000) == yields
    waiter.close()


def test_an_adaptive_waiter_whose_waits_are_long_sleeps_at_once(bell: Bell, time: Time) -> None:
    waiter = Waiter(bell, Wait.ADAPTIVE)
    assert time.wait(waiter, 5_000_000) == PATIENCE_NS // 10_000
    for _ in range(20):
        time.wait(waiter, 5_000_000)
    assert time.wait(waiter, 5_000_000) == 0
    for _ in range(20):
        time.wait(waiter, 50_000)
    assert time.wait(waiter, 50_000) == 5, "its waits have become short again"
    waiter.close()


def test_one_that_never_sleeps_still_looks_at_its_descriptors(bell: Bell, time: Time) -> None:
    waiter = Waiter(bell, Wait.ADAPTIVE)
    reader, writer = os.pipe()
    waiter.add(reader)
    os.write(writer, b"!")
    ready = []
    for _ in range(LOOK_EVERY_WAITS):
        time.input_ns = time.now_ns + 10_000
        ready += waiter.wait(60_000, time.has_input)
    assert ready == [reader]
    waiter.close()
    os.close(reader)
    os.close(writer)


def test_spinning_ends_with_the_timeout(bell: Bell, time: Time) -> None:
    waiter = Waiter(bell, Wait.SPIN)
    time.input_ns = 1 << 60
    assert waiter.wait(1, time.has_input) == []
    assert time.now_ns == 1_000_000
    assert not bell._words[0], "nobody has to ring it"
    waiter.close()


def test_what_is_rare_is_told_apart(bell: Bell) -> None:
    bell.announce()
    assert not bell.take_rare()
    bell.announce_rare()
    assert bell.take_news()
    assert bell.take_rare()
    assert not bell.take_rare()


def test_who_was_frozen_while_looking_again_looks_at_its_descriptors(bell: Bell, time: Time) -> None:
    waiter = Waiter(bell, Wait.ADAPTIVE)
    reader, writer = os.pipe()
    waiter.add(reader)
    os.write(writer, b"!")
    time.input_ns = time.now_ns + 1

    def has_input() -> bool:
        time.now_ns += 3 * PATIENCE_NS  # stopped and continued here
        return True

    assert waiter.wait(60_000, has_input) == [reader]
    waiter.close()
    os.close(reader)
    os.close(writer)
