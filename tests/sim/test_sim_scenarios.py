"""tests/scenarios/*.txt: a script (`> command`) with the trace that it must leave (lab.sim.script)."""

from pathlib import Path

import pytest

from lab.sim.script import Script, ScriptError

SCENARIOS = Path(__file__).parent.parent / "scenarios"


def replay(text: str) -> str:
    """The file with the lines that its commands bring about now; comments and blank lines stay."""
    script, lines = Script(), list[str]()
    for line in text.splitlines():
        if line.startswith("> "):
            lines += [line, *script.run(line[2:])]
        elif not line or line.startswith("#"):
            lines.append(line)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.txt")), ids=lambda path: path.stem)
def test_scenario(path: Path, pytestconfig: pytest.Config) -> None:
    expected = path.read_text()
    found = replay(expected)
    if pytestconfig.getoption("--rewrite"):
        path.write_text(found)
    else:
        assert found.splitlines() == expected.splitlines()


def test_every_scenario_says_what_it_is_about() -> None:
    for path in SCENARIOS.glob("*.txt"):
        assert path.read_text().startswith("# "), path.name


@pytest.mark.parametrize(
    ("commands", "part"),
    [
        (["start 1"], "first command has to be `ensemble`"),
        (["ensemble 3", "dance"], "no such command"),
        (["ensemble 3", "start 9"], "> start 9"),
        (["ensemble 3", "receive 2 from 1"], "nothing is under way"),
        (["ensemble 3 max_outstanding=-1"], "max_outstanding"),
        (["ensemble 3", "trace everything"], "there are usual"),
    ],
)
def test_bad_command_is_quoted(commands: list[str], part: str) -> None:
    script = Script()
    *before, last = commands
    for command in before:
        script.run(command)
    with pytest.raises(ScriptError, match=part):
        script.run(last)
