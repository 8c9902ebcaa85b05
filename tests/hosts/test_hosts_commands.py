"""`--hosts` from the command line, over a Dask cluster."""

import os
from pathlib import Path

import orjson
import pytest
from stub_clusters import open_descriptors

from lab.cli import main

pytestmark = pytest.mark.process

HOST = """
[[host]]
name = "{name}"
address = "127.0.0.{number}"
{more}
"""


@pytest.fixture
def file(dask, pools, tmp_path: Path) -> Path:
    """hosts.toml: clients are on b."""
    pools(dask, "a", "b").close()  # the workers have come
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    path = tmp_path / "hosts.toml"
    hosts = HOST.format(name="a", number=2, more="clients = 0"), HOST.format(name="b", number=3, more="voters = 1")
    path.write_text(f'scheduler = "{dask.address()}"\nkey_file = "{key}"\n{"".join(hosts)}')
    return path


def test_a_trial_says_who_ran_where_and_how_well_clocks_compare(file, capsys, tmp_path: Path) -> None:
    before = open_descriptors()
    with pytest.raises(SystemExit) as ended:
        main(["trial", "--hosts", str(file), "--transport", "udp", "--durability", "buffered", "--seconds", "0.3",
              "--warmup", "0.1", "--keys", "20", "--data-dir", str(tmp_path / "data"), "--json", "--sealed",
              "no"])  # fmt: skip
    out, err = capsys.readouterr()
    assert "lab: --sealed: True in the place of False: there is a key_file" in err
    assert "--death-detection" not in err, "nobody typed it"
    assert ended.value.code == 0
    record = orjson.loads(out)
    assert record["verified"]
    assert record["settings"]["hosts"] == "a: 1, 3; b: 2, client 0"
    assert (record["settings"]["sealed"], record["settings"]["death_detection"]) == (True, "heartbeat")
    assert {name: part["runs"] for name, part in record["hosts"].items()} == {
        "a": ["server 1", "server 3"], "b": ["server 2", "client 0"]
    }  # fmt: skip
    for part in record["hosts"].values():
        assert abs(part["clock_offset_ns"]) <= part["clock_doubt_ns"], "it is one clock"
        assert part["machine"]["id"] == record["machine"]["id"]
    assert not list(tmp_path.glob("data/*"))
    assert open_descriptors() <= before
