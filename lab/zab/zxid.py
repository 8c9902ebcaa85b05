"""Transaction ids: `epoch << 32 | counter`, compared as one integer (zab.md 1.2)."""

from lab.zab.constants import COUNTER_BITS, COUNTER_MAX, EPOCH_LEAP_MAX

Zxid = int
Epoch = int


def make_zxid(epoch: Epoch, counter: int) -> Zxid:
    return epoch << COUNTER_BITS | counter


def epoch_of(zxid: Zxid) -> Epoch:
    return zxid >> COUNTER_BITS


def counter_of(zxid: Zxid) -> int:
    return zxid & COUNTER_MAX


def follows(zxid: Zxid, previous: Zxid) -> bool:
    """Whether `zxid` may stand right after `previous` in a history: the next counter, or the first of a later epoch."""
    return zxid == previous + 1 or (epoch_of(zxid) > epoch_of(previous) and counter_of(zxid) == 1)


def is_leap(known: Epoch, epoch: Epoch) -> bool:
    """Whether nobody who knows of `known` can believe in `epoch`: one absurd promise must not use up all epochs."""
    return epoch > known + EPOCH_LEAP_MAX


def show(zxid: Zxid) -> str:
    """`2.7` for epoch 2, counter 7: how traces and messages to people print a zxid."""
    return "none" if zxid < 0 else f"{epoch_of(zxid)}.{counter_of(zxid)}"
