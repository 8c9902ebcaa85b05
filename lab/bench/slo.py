"""A service level objective: bounds on percentiles of latency, as `--slo` takes them."""

import re
from collections.abc import Mapping

import msgspec

from lab.bench.record import Percentiles

PERCENTILES = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9"}
UNITS_US = {"us": 1.0, "ms": 1e3, "s": 1e6}
ALLOWED = f"{', '.join(PERCENTILES)}, each =NUMBER with {', '.join(UNITS_US)}, e.g. p99=10ms or p50=1ms,p99=10ms"
_BOUND = re.compile(r"(?P<percentile>\w+)=(?P<number>[0-9]+(\.[0-9]*)?|\.[0-9]+)(?P<unit>[a-z]+)")


class SloError(ValueError):
    """No objective is described so: what was found and what is allowed, without the option's name."""


class Bound(msgspec.Struct, frozen=True):
    percentile: str
    most_us: float


def parse_slo(text: str) -> tuple[Bound, ...]:
    """`p99=10ms`, several separated by commas.  Raises SloError."""
    bounds = []
    for part in text.split(","):
        found = _BOUND.fullmatch(part.strip())
        if found is None or found["percentile"] not in PERCENTILES or found["unit"] not in UNITS_US:
            raise SloError(f"{text!r}, allowed: {ALLOWED}")
        most_us = float(found["number"]) * UNITS_US[found["unit"]]
        if not most_us > 0:
            raise SloError(f"{text!r}: {part.strip()} can never hold, allowed: more than 0")
        bounds.append(Bound(found["percentile"], most_us))
    return tuple(bounds)


def missed(bounds: tuple[Bound, ...], latency_us: Mapping[str, Percentiles]) -> str:
    """The first bound that a kind of operation is beyond, in words; empty if all hold."""
    for kind, found in sorted(latency_us.items()):
        for bound in bounds:
            value_us = getattr(found, bound.percentile)
            if value_us > bound.most_us:
                return f"{kind} {PERCENTILES[bound.percentile]} {value_us / 1e3:,.3g} ms"
    return ""
