"""read_mix: independent reads and overwrites of a fixed set of keys, in a given ratio.

Keys are `/bench/00000`, `/bench/00001`, ...  Which key and whether to read are drawn once per client into tables, so
that an operation costs two table slices and its value (0.2 us of CPU for a 100-byte write, batches of 64, measured).
"""

from array import array
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from lab.client.history import History, Kind, ReplicaState
from workloads.values import (
    CXID_BITS,
    HEADER_BYTES,
    VALUE_BYTES_MAX,
    WINDOWS,
    header_base,
    pack_header,
    pad_of,
    shift_of,
    value_of,
    writer_of,
)
from workloads.verdict import Verdict
from workloads.workload import GetMaker, R, SetMaker, Workload

PARENT = "/bench"
_DRAWS_PER_KEY = 4  # the key table holds at least this many draws per key, up to
_DRAWS_MAX = 1 << 20  # in all: some of a million keys are never drawn, but a longer table would take seconds to make
_KIND_DRAWS = 65_521  # a prime: keys and kinds repeat together only after 65,521 x the length of the key table

assert _KIND_DRAWS != WINDOWS, "tables of one length would tie each key to one kind"


class ReadMix(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of read_mix."""

    reads: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0  # share of operations that are reads
    value_bytes: Annotated[int, Meta(ge=HEADER_BYTES, le=VALUE_BYTES_MAX)] = 100
    keys: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    distribution: Literal["uniform", "zipf"] = "uniform"
    zipf_s: Annotated[float, Meta(gt=0.0, le=5.0)] = 0.99  # zipf: the key of rank r is drawn in proportion to r ** -s


def path_of(key: int) -> str:
    return f"{PARENT}/{key:05d}"


class ReadMixGenerator:
    """The operations of one client (`workloads.workload.Generator`)."""

    def __init__(self, params: ReadMix, seed: int, client: int) -> None:
        self.parents = [PARENT]
        self.paths = [path_of(key) for key in range(params.keys)]
        self.read_share, self.value_bytes = params.reads, params.value_bytes
        self._seed, self._client = seed, client
        self._base, self._shift = header_base(client), shift_of(client)
        self._pad, self._filler = pad_of(seed, params.value_bytes), params.value_bytes - HEADER_BYTES
        draws = min(params.keys * _DRAWS_PER_KEY, _DRAWS_MAX)
        self._draws = WINDOWS * -(-draws // WINDOWS)  # a multiple, so one cut serves both
        self._keys = _draw_keys(params, self._draws, Random(f"keys of {seed} {client}"))
        self._key_paths = [self.paths[key] for key in self._keys]
        self._kinds = _draw_kinds(params.reads, Random(f"kinds of {seed} {client}"))

    def batch(self, first: int, count: int, set_data: SetMaker[R], get_data: GetMaker[R]) -> list[R]:
        until_cut = WINDOWS - first % WINDOWS
        if count > until_cut:
            rest = self.batch(first + until_cut, count - until_cut, set_data, get_data)
            return self.batch(first, until_cut, set_data, get_data) + rest
        cxids, at = range(first, first + count), first % self._draws
        paths = self._key_paths[at : at + count]
        if self.read_share == 1.0:
            return list(map(get_data, cxids, paths))
        pad, filler, base, begin = self._pad, self._filler, self._base, self._shift + first % WINDOWS
        windows = range(begin, begin + count)
        if self.read_share == 0.0:
            return [
                set_data(cxid, path, pack_header(base + cxid) + pad[at : at + filler])
                for cxid, path, at in zip(cxids, paths, windows, strict=True)
            ]
        return [
            set_data(cxid, path, pack_header(base + cxid) + pad[at : at + filler]) if kind else get_data(cxid, path)
            for cxid, path, at, kind in zip(cxids, paths, windows, self.kinds(first, count), strict=True)
        ]

    def kinds(self, first: int, count: int) -> Sequence[int]:
        return _cyclic(self._kinds, first, count)

    def keys(self, first: int, count: int) -> Sequence[int]:
        return _cyclic(self._keys, first, count)

    def value(self, cxid: int) -> bytes:
        return value_of(self._seed, self._client, cxid, self.value_bytes)

    def writer(self, data: bytes) -> tuple[int, int] | None:
        return writer_of(data)

    def is_intact(self, data: bytes, client: int, cxid: int) -> bool:
        begin = shift_of(client) + cxid % WINDOWS  # value_of, spelled out: it runs for each of a million reads
        return data == pack_header((client << CXID_BITS) + cxid) + self._pad[begin : begin + self._filler]


def _draw_keys(params: ReadMix, draws: int, random: Random) -> "array[int]":
    weights = None
    if params.distribution == "zipf":
        weights = list(accumulate(rank**-params.zipf_s for rank in range(1, params.keys + 1)))
    return array("q", random.choices(range(params.keys), cum_weights=weights, k=draws))


def _draw_kinds(reads: float, random: Random) -> "array[int]":
    return array("q", [Kind.READ if random.random() < reads else Kind.WRITE for _ in range(_KIND_DRAWS)])


def _cyclic(table: "array[int]", first: int, count: int) -> "array[int]":
    """`count` entries of an endlessly repeated table, from entry `first`."""
    begin = first % len(table)
    taken = table[begin : begin + count]
    while len(taken) < count:
        taken += table[: count - len(taken)]
    return taken


def _check(
    histories: Sequence[History],
    replicas: Sequence[ReplicaState],
    *,
    seed: int,
    params: ReadMix,
    voters: int | None = None,
) -> Verdict:
    from workloads.check import check_registers  # numpy stays out of the load processes

    paths = [path_of(key) for key in range(params.keys)]
    return check_registers(histories, replicas, paths, seed=seed, value_bytes=params.value_bytes, voters=voters)


WORKLOAD = Workload(name="read_mix", params=ReadMix, generator=ReadMixGenerator, check=_check)
