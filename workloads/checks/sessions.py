"""(a) Acknowledged zxids are unique and increase within each session, replies come in request order (INV-22)."""

import numpy as np

from workloads.checks.operations import Ints, Mask, Operations, show, times


def check_sessions(ops: Operations) -> list[str]:
    by_session = np.argsort(ops.session, kind="stable")  # a client's rows are in the order of sending already
    return [
        *_duplicates(ops),
        *_request_order(ops),
        *_zxid_order(ops, by_session),
        *_reply_order(ops, by_session),
    ]


def _duplicates(ops: Operations) -> list[str]:
    rows = ops.writes[np.argsort(ops.zxid[ops.writes], kind="stable")]
    zxids = ops.zxid[rows]
    findings = []
    if len(rows) and zxids[0] <= 0:
        findings.append(f"{ops.name(rows[0])} was acknowledged without a zxid")
    same = np.flatnonzero(zxids[1:] == zxids[:-1])
    if len(same):
        one, other = rows[same[0]], rows[same[0] + 1]
        findings.append(
            f"zxid {show(zxids[same[0]])} was acknowledged to {ops.name(one)} "
            f"and to {ops.name(other)}{times(len(same))}"
        )
    return findings


def _request_order(ops: Operations) -> list[str]:
    back = np.flatnonzero((np.diff(ops.client) == 0) & (np.diff(ops.cxid) <= 0))
    if not len(back):
        return []
    return [f"{ops.name(back[0] + 1)} was recorded after {ops.name(back[0])}{times(len(back))}"]


def _zxid_order(ops: Operations, by_session: Ints) -> list[str]:
    rows = by_session[ops.zxid[by_session] > 0]
    acknowledged_write = np.zeros(len(ops.cxid), np.bool_)
    acknowledged_write[ops.writes] = True
    writes = rows[acknowledged_write[rows]]
    back = _steps(ops, rows, ops.zxid[rows][1:] < ops.zxid[rows][:-1])
    stuck = _steps(ops, writes, ops.zxid[writes][1:] <= ops.zxid[writes][:-1])
    return [
        *([_went(ops, rows, back, "went back")] if len(back) else []),
        *([_went(ops, writes, stuck, "did not increase over its writes")] if len(stuck) else []),
    ]


def _reply_order(ops: Operations, by_session: Ints) -> list[str]:
    rows = by_session[ops.done_ns[by_session] > 0]
    findings = []
    wrong = _steps(ops, rows, ops.done_ns[rows][1:] < ops.done_ns[rows][:-1])
    if len(wrong):
        one, other = rows[wrong[0]], rows[wrong[0] + 1]
        findings.append(f"{ops.name(other)} was answered before {ops.name(one)}{times(len(wrong))}")
    early = np.flatnonzero((ops.done_ns > 0) & (ops.done_ns < ops.sent_ns))
    if len(early):
        findings.append(f"{ops.name(early[0])} was answered before it was sent{times(len(early))}")
    return findings


def _steps(ops: Operations, rows: Ints, wrong: Mask) -> Ints:
    """Where `wrong` holds between a row and the next one of the same session."""
    return np.flatnonzero(wrong & (ops.session[rows][1:] == ops.session[rows][:-1]))


def _went(ops: Operations, rows: Ints, wrong: Ints, how: str) -> str:
    one, other = rows[wrong[0]], rows[wrong[0] + 1]
    return (
        f"a session's zxids {how}: {show(ops.zxid[one])} at {ops.name(one)}, "
        f"then {show(ops.zxid[other])} at {ops.name(other)}{times(len(wrong))}"
    )
