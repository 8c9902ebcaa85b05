"""Going to sleep and being rung."""

from collections.abc import Iterator

import pytest

from lab.transport.bell import Bell
from lab.transport.waiter import Waiter


@pytest.fixture
def bell() -> Iterator[Bell]:
    bell = Bell.create()
    yield bell
    bell.close()


@pytest.fixture
def waiter(bell: Bell) -> Iterator[Waiter]:
    waiter = Waiter(bell)
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
