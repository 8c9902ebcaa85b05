from collections.abc import Callable
from pathlib import Path

import pytest
import synthetic

from lab.report.reading import Run, load_run


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One results folder a profile."""
    base = tmp_path_factory.mktemp("results")
    made = {"smoke": synthetic.smoke(), "quick": synthetic.quick(), "full": synthetic.full(rounds=3)}
    return {name: synthetic.write_run(base / name, records, name) for name, records in made.items()}


@pytest.fixture(scope="session")
def loaded(runs: dict[str, Path]) -> dict[str, Run]:
    return {name: load_run(folder) for name, folder in runs.items()}


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., Run]:
    """A loaded run of the given records."""
    made = iter(range(1_000))

    def build(records: list[object], **options: object) -> Run:
        return load_run(synthetic.write_run(tmp_path / f"run{next(made)}", records, **options))

    return build
