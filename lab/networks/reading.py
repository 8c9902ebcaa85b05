"""From TOML to a network, checked field by field; every mistake is one line (DESIGN 5).

    about     one line for people
    sources   where the figures are from
    sites     their names
    voters, observers, clients     sites that they take round-robin  [all sites, in order]
    tick_ms   a tick that suits the round trips
    every     what all links do, unless it is said otherwise
    within    what links between processes at one site do
    links     [{between = ["a", "b"], ...}] both ways, or [{from = "a", to = "b", ...}] one way, which wins

A link has the fields of `lab.faults.Shape`.  Instead of `delay` it may have `rtt_ms`, of which each way takes half, and
`jitter = {median_ms, sigma}`, the part of that which varies (lognormal).  An empirical delay may name a `file` of
milliseconds, one a line, which is looked for beside the TOML file; of many, SAMPLES_MAX are kept, evenly in order.
"""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from lab.faults import DELAY_MS_MAX, SAMPLES_MAX, AnyDelay, Constant, LogNormal, Shape
from lab.networks.network import ROLES, Network, NetworkError

NONE = "none"
FILE_BYTES_MAX = 1 << 20
SITES_MAX = 64
TOP_FIELDS = ("about", "sources", "sites", "voters", "observers", "clients", "tick_ms", "every", "within", "links")
DELAY_KINDS = ("constant", "uniform", "normal", "lognormal", "empirical")
ONE_SITE = "everywhere"

Pair = tuple[str, str]  # from site, to site


class _Jitter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    median_ms: float
    sigma: float


class _Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a link of the file may say beside the sites that it joins; the rest as in Shape."""

    delay: AnyDelay | None = None
    rtt_ms: float | None = None
    jitter: _Jitter | None = None
    hold_ms: float = Shape().hold_ms
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    bytes_per_s: float | None = None
    queue_bytes: int = Shape().queue_bytes
    blocked: bool = False


def presets() -> list[Network]:
    """The networks that come with the lab, near ones first."""
    names = [entry.name for entry in files("lab.networks").iterdir() if entry.name.endswith(".toml")]
    found = [load_network(name.removesuffix(".toml")) for name in names]
    return sorted(found, key=lambda network: max(network.rtt_ms(a, b) for a in network.sites for b in network.sites))


def uniform(loss: float, delay_ms: float) -> Network:
    """All links alike, those of clients included: `delay_ms` each way."""
    try:
        shape = Shape(delay=Constant(delay_ms) if delay_ms else None, loss=loss)
    except ValueError as error:
        field, what = str(error).split(":", 1)
        raise NetworkError(f"{'--loss' if field == 'loss' else '--delay-ms'}:{what}") from error
    here = (ONE_SITE,)
    name = f"uniform, loss {loss:g}, delay {delay_ms:g} ms"
    return Network(
        name=name, sites=here, shapes={ONE_SITE: {ONE_SITE: shape}}, voters=here, observers=here, clients=here
    )


def network_of(
    name_or_path: str = NONE, *, loss: float = 0.0, delay_ms: float = 0.0, sites: Mapping[str, str] | None = None
) -> Network | None:
    """As the options say; None: links stay as they are.  `sites`: per role, as typed.  Raises NetworkError."""
    typed = {role: text for role, text in (sites or {}).items() if text}
    if name_or_path != NONE:
        if loss or delay_ms:
            raise NetworkError(f"--network {name_or_path}: it has its own, allowed without --loss and --delay-ms only")
        return load_network(name_or_path).placed(typed)
    if typed:
        raise NetworkError(f"--{next(iter(typed))}-sites: there are no sites, allowed with --network PRESET|FILE.toml")
    if loss or delay_ms:
        return uniform(loss, delay_ms)
    return None


def load_network(name_or_path: str) -> Network:
    """The preset, or the TOML file, of that name."""
    where, text, folder = _read(name_or_path)
    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NetworkError(f"{where}: not TOML: {error}") from error
    for field in fields:
        if field not in TOP_FIELDS:
            raise NetworkError(f"{where}: {field}: unknown field, allowed: {', '.join(TOP_FIELDS)}")
    sites = _names(where, "sites", fields.get("sites", ()))
    if not sites or len(sites) > SITES_MAX or len(set(sites)) != len(sites):
        raise NetworkError(f"{where}: sites: {len(sites)} of them, allowed: 1 to {SITES_MAX}, each once")
    placed = {f"{role}s": _names(where, f"{role}s", fields.get(f"{role}s", sites), among=sites) for role in ROLES}
    about, sources, tick_ms = fields.get("about", ""), fields.get("sources", []), fields.get("tick_ms")
    if not isinstance(about, str):
        raise NetworkError(f"{where}: about: found {about!r}, allowed: a text")
    if tick_ms is not None and not (type(tick_ms) is int and 1 <= tick_ms <= 60_000):
        raise NetworkError(f"{where}: tick_ms: found {tick_ms!r}, allowed: 1 to 60,000")
    return Network(
        name=name_or_path,
        about=about,
        sources=_texts(where, "sources", sources),
        sites=sites,
        shapes=_shapes(where, folder, sites, fields),
        tick_ms=tick_ms,
        **placed,
    )


def _read(name_or_path: str) -> tuple[str, str, Path]:
    """(how messages call it, text, the folder of files that it names)."""
    if "/" in name_or_path or name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        return name_or_path, _text(name_or_path, path), path.parent
    known = sorted(entry.name for entry in files("lab.networks").iterdir() if entry.name.endswith(".toml"))
    if f"{name_or_path}.toml" not in known:
        allowed = ", ".join((NONE, *(name.removesuffix(".toml") for name in known)))
        raise NetworkError(f"--network: found {name_or_path!r}, allowed: {allowed}, or the path of a .toml file")
    return f"network {name_or_path}", files("lab.networks").joinpath(f"{name_or_path}.toml").read_text(), Path()


def _text(where: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise NetworkError(f"{where}: {path}: more than {FILE_BYTES_MAX:,} bytes, allowed: fewer")
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise NetworkError(f"{where}: {path}: cannot be read: {reason}") from error


def _shapes(where: str, folder: Path, sites: tuple[str, ...], fields: Mapping[str, Any]) -> dict[str, dict[str, Shape]]:
    every, within = (_table(where, field, fields.get(field, {})) for field in ("every", "within"))
    both_ways: dict[Pair, tuple[str, dict[str, Any]]] = {}
    one_way: dict[Pair, tuple[str, dict[str, Any]]] = {}
    links = fields.get("links", [])
    if not isinstance(links, list):
        raise NetworkError(f"{where}: links: found {links!r}, allowed: a list of tables")
    for place, link in enumerate(links, 1):
        label, own = f"link {place}", dict(_table(where, f"link {place}", link))
        said = both_ways if "between" in own else one_way
        for pair in _joined(where, label, own, sites):
            if pair in said:
                raise NetworkError(f"{where}: {label}: {' to '.join(pair)} is there already, allowed: each link once")
            said[pair] = label, own
    said = {**{(site, site): ("within", within) for site in sites}, **both_ways, **one_way}
    shapes: dict[str, dict[str, Shape]] = {site: {} for site in sites}
    for source in sites:
        for target in sites:
            if (source, target) not in said and not {"delay", "rtt_ms"} & every.keys():
                allowed = "all of them, or a delay or rtt_ms in `every`"
                raise NetworkError(f"{where}: links: none from {source} to {target}, allowed: {allowed}")
            label, own = said.get((source, target), ("every", {}))
            shapes[source][target] = _shape(f"{where}: {label}", folder, {**_inherited(every, own), **own})
    return shapes


def _joined(where: str, label: str, link: dict[str, Any], sites: tuple[str, ...]) -> list[Pair]:
    """The ordered pairs of sites that a link joins; takes them out of its fields."""
    field = "between" if "between" in link else "from, to"
    ends = link.pop("between") if field == "between" else [link.pop("from", None), link.pop("to", None)]
    if not (isinstance(ends, list) and len(ends) == 2 and all(end in sites for end in ends) and ends[0] != ends[1]):
        raise NetworkError(f"{where}: {label}: {field}: found {ends!r}, allowed: two of {', '.join(sites)}")
    one, other = ends
    return [(one, other), (other, one)] if field == "between" else [(one, other)]


def _inherited(every: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What a link takes over: no delay if it has one of its own, whichever way that is said."""
    said = {"delay", "rtt_ms"} & own.keys()
    gone = ("delay", "rtt_ms", *(("jitter",) if "delay" in said else ())) if said else ()
    return {field: value for field, value in every.items() if field not in gone}


def _shape(where: str, folder: Path, fields: dict[str, Any]) -> Shape:
    for field in fields:
        if field not in _Link.__struct_fields__:
            raise NetworkError(f"{where}: {field}: unknown field, allowed: {', '.join(_Link.__struct_fields__)}")
    fields = {**fields, "delay": _with_samples(where, folder, fields["delay"])} if "delay" in fields else fields
    try:
        link = msgspec.convert(fields, _Link)
        delay = link.delay if link.rtt_ms is None else _half(link.rtt_ms, link.jitter, where)
        rest = {field: getattr(link, field) for field in Shape.__struct_fields__ if field != "delay"}
        return Shape(delay=delay, **rest)
    except msgspec.ValidationError as error:
        raise NetworkError(f"{where}: {_in_our_words(error)}") from error
    except NetworkError:
        raise
    except ValueError as error:
        raise NetworkError(f"{where}: {error}") from error


def _half(rtt_ms: float, jitter: _Jitter | None, where: str) -> AnyDelay:
    if not 0 <= rtt_ms <= DELAY_MS_MAX:
        raise NetworkError(f"{where}: rtt_ms: {rtt_ms!r}, allowed: 0 to {DELAY_MS_MAX:,g}")
    if jitter is None:
        return Constant(rtt_ms / 2)
    if not 0 <= jitter.median_ms <= rtt_ms / 2:
        raise NetworkError(
            f"{where}: jitter: median_ms: {jitter.median_ms:g}, allowed: 0 to {rtt_ms / 2:g}, half of rtt_ms"
        )
    return LogNormal(jitter.median_ms, jitter.sigma, base_ms=rtt_ms / 2 - jitter.median_ms)


def _with_samples(where: str, folder: Path, delay: object) -> object:
    """The delay, with the numbers of the file that it may name; its kind is checked, for msgspec says less."""
    if not isinstance(delay, dict):
        return delay
    if delay.get("kind") not in DELAY_KINDS:
        raise NetworkError(f"{where}: delay: kind: found {delay.get('kind')!r}, allowed: {', '.join(DELAY_KINDS)}")
    if delay["kind"] != "empirical" or "file" not in delay:
        return delay
    path = folder / str(delay["file"])
    lines = [line for line in _text(where, path).splitlines() if line.strip()]
    if not lines:
        raise NetworkError(f"{where}: {path}: no lines, allowed: milliseconds, one a line")
    samples = []
    for number, line in enumerate(lines, 1):
        try:
            samples.append(float(line))
        except ValueError as error:
            raise NetworkError(f"{where}: {path}: line {number}: found {line!r}, allowed: milliseconds") from error
    kept = {field: value for field, value in delay.items() if field != "file"}
    return {**kept, "samples_ms": samples if len(samples) <= SAMPLES_MAX else _thinned(samples)}


def _thinned(samples: list[float]) -> list[float]:
    """SAMPLES_MAX of them, evenly spaced in order, the least and the greatest included."""
    ordered, last = sorted(samples), len(samples) - 1
    return [ordered[round(place * last / (SAMPLES_MAX - 1))] for place in range(SAMPLES_MAX)]


def _in_our_words(error: msgspec.ValidationError) -> str:
    """`loss: expected float, got str`, from msgspec's message, which names the field last."""
    what, _, path = str(error).partition(" - at `$")
    field = path.strip("`.").replace(".", ": ")
    text = what.replace("`", "")
    return f"{field}: {text[0].lower()}{text[1:]}" if field and not text.startswith(field) else text


def _table(where: str, field: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NetworkError(f"{where}: {field}: found {value!r}, allowed: a table")
    return value


def _texts(where: str, field: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise NetworkError(f"{where}: {field}: found {value!r}, allowed: a list of texts")
    return tuple(value)


def _names(where: str, field: str, value: object, among: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names of sites: what can be typed in `a,b,c`."""
    names = _texts(where, field, value)
    for name in names:
        if not name.replace("-", "").replace("_", "").isalnum() or (among and name not in among):
            allowed = ", ".join(among) or "letters, digits, - and _"
            raise NetworkError(f"{where}: {field}: found {name!r}, allowed: {allowed}")
    if among and not names:
        raise NetworkError(f"{where}: {field}: none, allowed: one or more of {', '.join(among)}")
    return names
