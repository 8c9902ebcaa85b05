"""Parameters come from presets, files and options; every mistake is one line with place, found and allowed."""

from pathlib import Path

import pytest

from workloads import WorkloadError, load_workload, presets, refine, workload_of
from workloads.kinds.read_mix import ReadMix


@pytest.mark.parametrize("name", presets())
def test_every_preset_loads_and_says_what_it_is(name: str) -> None:
    assert workload_of(load_workload(name)).name == "read_mix"
    assert presets()[name]


def test_the_bare_name_of_a_workload_has_its_defaults() -> None:
    assert load_workload("read_mix") == ReadMix()


def test_a_file_sets_some_fields_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('workload = "read_mix"\nabout = "mine"\nreads = 1\nkeys = 5\n')
    assert load_workload(str(path)) == ReadMix(reads=1.0, keys=5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reads = 1.5", "reads: found 1.5, allowed: a number from 0.0 to 1.0"),
        ("reads = nan", "reads: found nan, allowed: a number from 0.0 to 1.0"),
        ("reads = true", "reads: found True, allowed: a number from 0.0 to 1.0"),
        ("keys = 0", "keys: found 0, allowed: a whole number from 1 to 1000000"),
        ("value_bytes = 7", "value_bytes: found 7, allowed: a whole number from 8 to 1048576"),
        ('keys = "many"', "keys: found 'many', allowed: a whole number from 1 to 1000000"),
        ('distribution = "normal"', "distribution: found 'normal', allowed: 'uniform' or 'zipf'"),
        ("zipf_s = 0", "zipf_s: found 0, allowed: a number above 0.0 to 5.0"),
        (
            "raeds = 1.0",
            "raeds: unknown field, allowed: workload, about, reads, value_bytes, keys, distribution, zipf_s",
        ),
        ('workload = "lock"', "workload: found 'lock', allowed: read_mix"),
        ("reads = ", "not TOML: Invalid value (at end of document)"),
    ],
)
def test_a_bad_file_gets_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(WorkloadError) as caught:
        load_workload(str(path))
    assert str(caught.value) == f"{path}: {message}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"absent\.toml: cannot be read: No such file"):
        load_workload(str(tmp_path / "absent.toml"))


def test_an_unknown_preset_lists_those_there_are() -> None:
    with pytest.raises(WorkloadError, match=r"workload: found 'fast', allowed: read_mix, config-store, .*\.toml file"):
        load_workload("fast")


def test_options_are_checked_like_fields() -> None:
    assert refine(ReadMix(), {"keys": 7}, "options") == ReadMix(keys=7)
    with pytest.raises(WorkloadError, match=r"^options: keys: found -1, allowed: a whole number from 1 to 1000000$"):
        refine(ReadMix(), {"keys": -1}, "options")
