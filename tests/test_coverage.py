"""docs/coverage.md says of every row of the protocol reference which test covers it, or why none does."""

import pytest
from coverage_page import PAGE, collect, find_faults, write_page
from coverage_rows import ROWS


def test_every_row_has_a_test_or_a_reason() -> None:
    assert find_faults(collect()) == []


def test_the_page_is_what_the_tests_say(pytestconfig: pytest.Config) -> None:
    page = write_page(collect())
    if pytestconfig.getoption("--rewrite"):
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page)
    else:
        assert PAGE.read_text() == page, "pytest --rewrite tests/test_coverage.py, and look at what changed"


def test_faults_are_found() -> None:
    whole = {row: [("a test", "there")] for row in ROWS}
    assert find_faults(whole, {}) == []
    assert find_faults({**whole, "X-99": [("a test", "there")]}, {}) == [
        "X-99 is named by a test, but there is no such row"
    ]
    assert find_faults(whole, {"X-1": "not yet"}) == ["X-1 is covered by a test: take its reason away"]
    assert find_faults({row: whole[row] for row in whole if row != "F5"}, {})[0].startswith(
        "F5 (committed and answered"
    )
    assert find_faults(whole, {"Q-1": "never"}) == ["Q-1 has a reason, but there is no such row"]
