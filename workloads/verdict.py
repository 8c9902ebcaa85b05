"""What a checker says about one trial."""

import msgspec


class Verdict(msgspec.Struct, frozen=True):
    """`ok` if nothing was found; the counts say how much was looked at, so that an empty history convinces nobody."""

    ok: bool
    writes: int  # acknowledged writes, each checked
    reads: int  # reads whose value and origin were checked
    reads_total: int  # acknowledged reads; those beyond `reads` were sampled out
    replicas: int
    lost: int = 0  # acknowledged writes that are missing in a replica, or in a quorum of logs
    findings: list[str] = []  # the first things that were wrong, in words
