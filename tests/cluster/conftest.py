"""Clusters of stubs that do not outlive their test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stub_clusters import STUB, StubCluster, open_descriptors

from lab.cluster.spec import spec_of


@pytest.fixture
def stubs(tmp_path: Path) -> Iterator[Callable[..., StubCluster]]:
    """Makes started clusters of stubs; closes them, and insists that nothing of them is left open in this process."""
    before = open_descriptors()
    made: list[StubCluster] = []

    def make(voters: int = 3, observers: int = 0, *arguments: str, **settings: Any) -> StubCluster:
        settings = {"durability": "buffered", "data_dir": str(tmp_path), **settings}
        spec = spec_of(voters=voters, observers=observers, limits={}, **settings)
        made.append(StubCluster(spec, server_command=(str(STUB), *arguments)))
        made[-1].start()
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()
    assert not list(tmp_path.glob("zab-lab-run-*"))
    assert open_descriptors() <= before
