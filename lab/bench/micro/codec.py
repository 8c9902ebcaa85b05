"""Encoding and decoding: what crosses a link, at its both ends."""

from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import Any

from lab.bench.micro.inputs import FIRST, batches, set_txns, sets
from lab.bench.micro.part import Part, expect, now
from lab.service.requests import Done, decode_replies, decode_requests, encode_frame
from lab.service.transactions import decode_txns, encode_txns
from lab.zab.messages import Proposal, decode_learner_message, encode_message


class Calls:
    """One function of one argument, called again and again."""

    def __init__(self, function: Callable[[Any], object], argument: object, wanted: object) -> None:
        self._function = function
        self._argument = argument
        self._wanted = wanted

    def run(self, rounds: int) -> float:
        function, argument = self._function, self._argument
        started = now()
        for _ in repeat(None, rounds):
            function(argument)
        return now() - started

    def check(self) -> None:
        expect(self._function(self._argument), self._wanted, "its outcome")


def _both_ways(
    name: str, what: str, per: str, count: int, rounds: int,
    encode: Callable[[Any], bytes], decode: Callable[[bytes], Any], value: object,
) -> tuple[Part, Part]:  # fmt: skip
    """The two parts of one kind of frame: `decode` of what `encode` makes of `value` is `value` again."""
    frame = encode(value)
    return (
        Part(f"codec/encode-{name}", f"encode {what}", per, count, rounds, partial(Calls, encode, value, frame)),
        Part(f"codec/decode-{name}", f"decode {what}", per, count, rounds, partial(Calls, decode, frame, value)),
    )


def _replies(count: int) -> list[Done]:
    return [Done(at + 1, FIRST + at, 1) for at in range(count)]


_BATCH = batches(1, 256)[0]

PARTS = (
    *_both_ways("sets/1", "a client's frame of one set", "write", 1, 20_000, encode_frame, decode_requests, sets(1)),
    *_both_ways("sets/256", "a client's frame of 256 sets", "write", 256, 300, encode_frame, decode_requests,
                sets(256)),
    *_both_ways("replies/256", "a frame of 256 replies to writes", "write", 256, 400, encode_frame, decode_replies,
                _replies(256)),
    *_both_ways("txns/256", "a batch of 256 transactions", "write", 256, 300, encode_txns, decode_txns, set_txns(256)),
    *_both_ways("proposal/256", "a proposal of 256 transactions, which stay as they are", "message", 1, 5_000,
                encode_message, decode_learner_message, Proposal(_BATCH)),
)  # fmt: skip
