"""Options and rules of all tests."""

import pytest
from hypothesis import settings

# The same examples on every machine and every day: a red build is the change's doing.  Other examples are looked for
# on purpose: `pytest --hypothesis-profile=default`.
settings.register_profile("ci", derandomize=True, database=None, deadline=None)
settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite", action="store_true", help="write what happens now into tests/scenarios/*.txt; review it like code"
    )
