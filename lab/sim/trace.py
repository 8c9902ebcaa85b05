"""What happened, one line each: the lines of scenario files (zxids as epoch.counter)."""

from collections.abc import Iterable

from lab.service.requests import (
    CheckOp,
    Children,
    Closed,
    Connected,
    Create,
    Created,
    CreateMode,
    CreateOp,
    Data,
    Delete,
    DeleteOp,
    Done,
    ErrorCode,
    Failed,
    GetChildren,
    GetData,
    Multi,
    MultiDone,
    MultiFailed,
    Op,
    Reply,
    Request,
    SetData,
    SetDataOp,
    StatReply,
)
from lab.service.transactions import (
    CheckTxn,
    CreateTxn,
    DeleteTxn,
    ErrorTxn,
    MultiErrorTxn,
    MultiTxn,
    OpenSessionTxn,
    SetDataTxn,
    Txn,
    decode_txns,
)
from lab.sim.client import Operation, Outcome
from lab.zab.config import PeerId
from lab.zab.effects import (
    Append,
    Barrier,
    CloseSession,
    Deliver,
    EndSnapshot,
    Entered,
    FirstCommit,
    Install,
    LoadSnapshot,
    Notify,
    PeerEffect,
    ReadLog,
    Replay,
    Restore,
    SaveAcceptedEpoch,
    SaveCurrentEpoch,
    Send,
    Serve,
    SetTimer,
    StopServing,
    StreamSnapshot,
    TakeSnapshot,
    Truncate,
)
from lab.zab.messages import (
    Ack,
    AckEpoch,
    Commit,
    Diff,
    FollowerInfo,
    Inform,
    LeaderInfo,
    Message,
    NewLeader,
    Notification,
    ObserverInfo,
    Ping,
    Proposal,
    ServerState,
    Snap,
    SyncProgress,
    Trunc,
    TxnBatch,
    Vote,
)
from lab.zab.zxid import show

CATEGORIES = {
    "roles": "states, phases, who serves, closed sessions",
    "messages": "of the learner channel, without pings",
    "disk": "storage effects",
    "tree": "what is applied to the tree",
    "clients": "what clients are told",
    "votes": "notifications of the election",
    "timers": "timers that are set",
    "pings": "PING and SYNCPROGRESS",
}
USUAL = frozenset(("roles", "messages", "disk", "tree", "clients"))


def trace_effect(me: PeerId, effect: PeerEffect) -> tuple[str, list[str]]:
    """The category of an effect and its lines; no line for what nobody asks for."""
    match effect:
        case Send(to, message):
            kind = "pings" if isinstance(message, Ping | SyncProgress) else "messages"
            return kind, [f"{me} -> {peer} {show_message(message)}" for peer, _ in to]
        case Notify(peers, notification):
            return "votes", [f"{me} -> {' '.join(map(str, peers))} {show_notification(notification)}"]
        case StreamSnapshot((peer, _), zxid):
            return "messages", [f"{me} keeps the tree of {show(zxid)} for {peer}"]
        case SetTimer(timer, delay_ms):
            return "timers", [f"{me} timer {timer} {delay_ms} ms"]
    if (text := _show_role(effect)) is not None:
        return "roles", [f"{me} {text}"]
    if (text := _show_disk(effect)) is not None:
        return "disk", [f"{me} {text}"]
    if (text := _show_tree(effect)) is not None:
        return "tree", [f"{me} {text}"]
    return "other", []


def _show_role(effect: PeerEffect) -> str | None:
    match effect:
        case Entered(state, phase, epoch, leader):
            text = "LOOKING" if state is ServerState.LOOKING else f"{state.name} {phase.name} epoch {epoch}"
            return text if state in (ServerState.LOOKING, ServerState.LEADING) else f"{text} leader {leader}"
        case FirstCommit(epoch):
            return f"first commit of epoch {epoch}"
        case CloseSession(peer):
            return f"close session with {peer}"
        case Serve():
            return "serve"
        case StopServing():
            return "stop serving"
    return None


def _show_disk(effect: PeerEffect) -> str | None:
    match effect:
        case Append(_, batch):
            return f"append {_span(batch)}"
        case SaveAcceptedEpoch(epoch):
            return f"accepted epoch {epoch}"
        case SaveCurrentEpoch(epoch):
            return f"current epoch {epoch}"
        case Truncate(_, zxid):
            return f"truncate to {show(zxid)}"
        case Install(_, zxid, _, first, last):
            part = "whole" if first and last else "first part" if first else "last part" if last else "part"
            return f"install snapshot {show(zxid)} ({part})"
        case Barrier():
            return "barrier"
        case EndSnapshot(keep, log_after):
            held = "" if log_after is None else f", and the log after {show(log_after)}"
            return f"keep snapshot{held}" if keep else "drop snapshot"
        case ReadLog(learner, _, after, until, _):
            return f"read log for {learner} after {show(after)} up to {show(until)}"
    return None


def _show_tree(effect: PeerEffect) -> str | None:
    match effect:
        case Deliver(batch):
            return f"deliver {show_batch(batch)}"
        case Replay(batch):
            return f"replay {show_batch(batch)}"
        case Restore(history):
            log = f" and the log up to {show(history.last)}" if history.last != history.base else ""
            return f"restore snapshot {show(history.base)}{log}"
        case TakeSnapshot(_, zxid):
            return f"take snapshot {show(zxid)}"
        case LoadSnapshot(_, _, True):
            return "load snapshot"
    return None


def show_message(message: Message) -> str:
    name = type(message).__name__.upper()
    match message:
        case Proposal(batch) | Inform(batch):
            return f"{name} {_span(batch)}"
        case Commit(zxid) | Ack(zxid) | Diff(zxid) | Trunc(zxid) | Snap(zxid):
            return f"{name} {show(zxid)}"
        case Ping(zxid, nonce):
            return f"{name} {show(zxid)}{f' round {nonce}' if nonce else ''}"
        case LeaderInfo(epoch) | NewLeader(epoch):
            return f"{name} epoch {epoch}"
        case FollowerInfo(accepted, may_vote):
            return f"{name} accepted {accepted}{'' if may_vote else ' (may not vote)'}"
        case ObserverInfo(accepted):
            return f"{name} accepted {accepted}"
        case AckEpoch(current, last, need_snap):
            shown = "not to be counted" if current == -1 else f"current {current}"
            return f"{name} {shown} last {show(last)}{' (needs SNAP)' if need_snap else ''}"
    return name


def show_notification(notification: Notification) -> str:
    name = "ANNOUNCE" if notification.announce else "VOTE"
    return f"{name} {show_vote(notification.vote)} round {notification.round} {notification.state.name}"


def show_vote(vote: Vote) -> str:
    return f"{vote.leader} (epoch {vote.epoch}, zxid {show(vote.zxid)})" if vote.leader else "nobody"


def _span(batch: TxnBatch) -> str:
    return show(batch.first) if batch.count == 1 else f"{show(batch.first)}-{show(batch.last)}"


def show_batch(batch: TxnBatch) -> str:
    return f"{_span(batch)} {', '.join(_show_txn(txn) for txn in decode_txns(batch.body))}"


def _show_txn(txn: Txn) -> str:
    match txn:
        case OpenSessionTxn():
            return f"session {txn.session}"
        case CreateTxn() | SetDataTxn():
            return f"{txn.path}={txn.data.decode(errors='replace')}"
        case DeleteTxn():
            return f"{txn.path} deleted"
        case CheckTxn():
            return f"{txn.path} has version {txn.version}"
        case MultiTxn():
            return f"[{'; '.join(map(_show_txn, txn.txns))}]"
        case ErrorTxn():
            return ErrorCode(txn.error).name
        case MultiErrorTxn():
            return _show_errors(txn.errors)


def _show_errors(errors: Iterable[int]) -> str:
    return f"[{'; '.join(ErrorCode(error).name for error in errors)}]"


def trace_client(name: str, event: Connected | Closed | Operation) -> str:
    if isinstance(event, Connected):
        return f"{name}: attached at {show(event.zxid)}"
    if isinstance(event, Closed):
        return f"{name}: closed: {event.reason}"
    request = _show_request(event.request)
    if event.outcome is Outcome.UNKNOWN:
        return f"{name}: {request}: unknown"
    return f"{name}: {request}{_show_reply(event.reply)}"


def _show_reply(reply: Reply | None) -> str:
    match reply:
        case Failed(_, zxid, error):
            return f": {ErrorCode(error).name} at {show(zxid)}"
        case MultiFailed(_, zxid, errors):
            return f": {_show_errors(errors)} at {show(zxid)}"
        case MultiDone(_, zxid, results):
            return f": [{'; '.join(map(str, results))}] at {show(zxid)}"
        case Created(_, zxid, path):
            return f": {path} at {show(zxid)}"
        case Children(_, zxid, names):
            return f" = {' '.join(names) or 'none'}: done at {show(zxid)}"
        case Data(_, zxid, _, _, data):
            return f" = {data.decode(errors='replace')}: done at {show(zxid)}"
        case Done(_, zxid) | StatReply(_, zxid):
            return f": done at {show(zxid)}"
    raise AssertionError(f"{reply} answers no request")


def _show_request(request: Request | Op) -> str:
    name = type(request).__name__.removesuffix("Op").lower()
    match request:
        case Multi():
            return f"multi {'; '.join(map(_show_request, request.ops))}"
        case Create() | CreateOp():
            name = "create-seq" if request.flags == CreateMode.PERSISTENT_SEQUENTIAL else name
            return f"{name} {request.path}={request.data.decode(errors='replace')}"
        case SetData() | SetDataOp():
            return f"{name} {request.path}={request.data.decode(errors='replace')}"
        case CheckOp():
            return f"{name} {request.path}@{request.version}"
        case Delete() | DeleteOp() | GetData() | GetChildren():
            return f"{name} {request.path}"
    return name
