"""Options and rules of all tests."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite", action="store_true", help="write what happens now into tests/scenarios/*.txt; review it like code"
    )
