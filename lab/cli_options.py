"""What several commands share: their options, and what of them was typed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from lab.bench.record import Settings

DEFAULTS = Settings()
F = TypeVar("F", bound=Callable[..., Any])


class NotYet(click.ParamType[str]):
    """A choice of which some values are named in the documentation but not part of this version."""

    name = "choice"

    def __init__(self, allowed: Sequence[str]) -> None:
        self.allowed = allowed

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        return "|".join(self.allowed)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value not in self.allowed:
            self.fail(f"{value!r} is not available in this version, allowed: {' or '.join(self.allowed)}.", param, ctx)
        return value


def setting(field: str, help_: str, **more: Any) -> Callable[[F], F]:
    """An option that sets the field of Settings of the same name, with that field's default."""
    more = {"default": getattr(DEFAULTS, field), "show_default": True, **more}
    return click.option("--" + field.replace("_", "-"), field, help=help_, **more)


def together(*several: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        for option in reversed(several):
            command = option(command)
        return command

    return decorate


def workload_setting(field: str, help_: str, kind: Any) -> Callable[[F], F]:
    """Like `setting`, but unset unless typed, so that a preset's value stands."""
    text = f"{help_}  [default: {getattr(DEFAULTS, field)}]"
    return setting(field, text, default=None, show_default=False, type=kind)


DATA_DIR = click.option("--data-dir", type=click.Path(path_type=Path), help="where servers keep their data  [/var/tmp]")
RESULTS = click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
REPORTS = click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True)
JSON = click.option("--json", "as_json", is_flag=True, help="print the record as one line of JSON, nothing else")
WORKLOAD = click.option("--workload", metavar="PRESET|FILE.toml", help="a named workload; options typed here win")
DISTRIBUTION = workload_setting("distribution", "of keys: uniform or zipf", str)
DEATH_DETECTION = setting(
    "death_detection", "how servers learn of a peer's end", type=click.Choice(["pidfd", "heartbeat"])
)
WAIT = setting("wait", "what a process does with nothing to do", type=click.Choice(["adaptive", "blocking", "spin"]))
RELAYS = setting("relays", "followers that relay to the observers; 0: the leader sends to each", type=int)
DATAGRAMS = together(
    setting("udp_mtu", "bytes of a datagram; up to 65000 on loopback", type=int),
    setting("sealed", "every datagram carries a tag, by a key drawn for the run", type=bool),
)
LINKS = together(
    setting("transport", "links between servers and to clients", type=click.Choice(["shm", "udp"])), DATAGRAMS
)
ENSEMBLE = together(
    setting("target", "the system to measure; null is one server that only answers",
            type=NotYet(["own", "null", "zookeeper"])),
    setting("voters", "servers that vote", type=int),
    setting("observers", "servers that only learn", type=int),
    setting("transport", "links between servers and to clients; zookeeper's are tcp  [default: shm]", default=None,
            show_default=False, type=NotYet(["shm", "udp", "tcp"])),
    DATAGRAMS,
    setting("durability", "of an acknowledged write", type=click.Choice(["fsync", "buffered", "memory"])),
    setting("seed", "of the workload and the servers", type=int),
    setting("attach", "servers that clients hold sessions to; nearest: by the network's round trips",
            type=click.Choice(["leader", "followers", "observers", "nearest", "all"])),
    RELAYS,
    DEATH_DETECTION,
    WAIT,
    DATA_DIR,
)  # fmt: skip
NETWORK = together(
    setting("network", "what links do to datagrams, and who stands where (`lab networks` shows presets)",
            metavar="PRESET|FILE.toml", type=str),
    setting("loss", "share of datagrams that every link loses; without --network", type=float),
    setting("delay_ms", "of every link, each way; without --network", type=float),
    setting("voter_sites", "of the network, in place of its own; taken round-robin", metavar="SITE,...", type=str,
            show_default=False),
    setting("observer_sites", "likewise", metavar="SITE,...", type=str, show_default=False),
    setting("client_sites", "likewise", metavar="SITE,...", type=str, show_default=False),
    setting("tick_ms", f"of the servers' clock  [default: {DEFAULTS.tick_ms}, or what suits the network]", default=None,
            show_default=False, type=int),
)  # fmt: skip


def on_command_line(fields: dict[str, Any]) -> set[str]:
    """Those that were typed, not left to their defaults."""
    context = click.get_current_context()
    return {field for field in fields if context.get_parameter_source(field) is ParameterSource.COMMANDLINE}


def given(fields: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in fields.items() if value is not None}


def json_line(value: Any) -> str:
    import msgspec
    import orjson

    return orjson.dumps(msgspec.to_builtins(value)).decode()
