"""Known-broken variants of the lab are caught; `python -m lab selftest` hunts all of them."""

import json
import re
from pathlib import Path

import pytest

from lab.cli import main
from lab.sim.errors import InvariantError
from lab.sim.mutants import hunt, outcome
from lab.sim.mutants.hunt import Catch
from lab.sim.mutants.planting import Mutant, Patch, every_mutant

PAGE = Path(__file__).parents[2] / "docs" / "selftest.md"
SEEDS_QUICK = 12  # of the page: the others are hunted by the command only, or have a scenario

MUTANTS = every_mutant()
SCENARIOS = [mutant for mutant in MUTANTS.values() if mutant.scenario]


def name_of(mutant: Mutant) -> str:
    return mutant.name


def page_rows() -> dict[str, str]:
    """Mutant -> what caught it, as the page says."""
    cells = [line.split("|") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    return {row[1].strip(" `"): row[4].strip() for row in cells}


def found_at_once() -> list[str]:
    seeds = {line.split("|")[1].strip(" `"): line.split("|")[5].strip() for line in PAGE.read_text().splitlines()
             if line.startswith("| `")}  # fmt: skip
    return [name for name, count in seeds.items() if name in MUTANTS and int(count) <= SEEDS_QUICK]


def test_the_page_lists_the_mutants_that_there_are():
    assert list(page_rows()) == list(MUTANTS)


def test_the_page_has_none_that_was_missed():
    assert [name for name, caught_by in page_rows().items() if "missed" in caught_by] == []


def test_there_are_enough_and_each_names_a_rule():
    assert len(MUTANTS) >= 28
    for mutant in MUTANTS.values():
        assert re.search(r"(INV|LINK|Z|H|X|ZOOKEEPER)-\d|[SELFP]\d|\d\.\d", mutant.breaks), mutant.name


@pytest.mark.parametrize("name", found_at_once())
def test_walks_find_it_soon(name: str):
    assert hunt.hunt(name, 100).caught_by


@pytest.mark.parametrize("mutant", SCENARIOS, ids=name_of)
def test_its_scenario_shows_it_and_passes_without_it(mutant: Mutant):
    hunt.play(mutant.scenario)
    with mutant.planted(), pytest.raises(Exception) as found:  # noqa: PT011 - whatever objects
        hunt.play(mutant.scenario)
    assert hunt.caught_by(found.value) in ("assertion", "recovery") or isinstance(found.value, InvariantError)


def test_a_patch_is_undone():
    class Owner:
        value = 1

    patch = Patch()
    patch(Owner, "value", 2)
    patch(Owner, "value", 3)
    assert Owner.value == 3
    patch.undo()
    assert Owner.value == 1


# -- the command


@pytest.fixture
def catches(monkeypatch: pytest.MonkeyPatch) -> list[Catch]:
    made = [Catch(name, "INV-1", 3) for name in MUTANTS]
    monkeypatch.setattr("lab.cli_sim._hunts", lambda: list(reversed(made)))
    return made


def run(*argv: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["selftest", *argv])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_the_table_and_the_page(catches: list[Catch], capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert run("--page", str(tmp_path / "page.md")) == 0
    assert f"{len(MUTANTS)} mutants, 0 missed" in capsys.readouterr().out
    assert (tmp_path / "page.md").read_text() == outcome.page(catches)


def test_json_names_what_caught_each(catches: list[Catch], capsys: pytest.CaptureFixture[str]):
    assert run("--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["missed"] == 0
    assert printed["mutants"] == [{"name": name, "caught_by": "INV-1", "seeds": 3} for name in MUTANTS]


def test_a_missed_one_is_status_1(
    catches: list[Catch], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("lab.cli_sim._hunts", lambda: [*catches[1:], Catch(catches[0].name, "", 2_000)])
    assert run("--json") == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["missed"] == 1
    assert printed["mutants"][0] == {"name": catches[0].name, "caught_by": None, "seeds": 2_000}
