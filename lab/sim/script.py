"""Scenarios: a world driven by commands, and what it answers as lines of text.

    ensemble 3 observers=1 finalize_early=false      voters 1..3, observers after them, any ZabConfig field
    disk 1 accepted=2 current=1 log=1.1-1.7,2.1      what a server holds before it starts
    start 1 2 | crash 1 | power-fail 1 | wipe 1 | freeze 1 | thaw 1
    partition 1 2 / 3 4 5 | heal
    client a at 2                                    (re)attach a client
    do a create /x=1, create-seq /q-=1, set /x=2, delete /x, get /x, children /, sync
    do a multi check /x@3; set /x=1; delete /y       all or none
    manual                                           hold every link and every disk back: then
    receive 2 from 1 [3] | flush 2                   deliver all frames (or so many), flush a log
    hold 1 -> 2 3 | hold disk 1 | release 1 -> 2 3 | release disk 1 | automatic
    tick [5] | advance 250                           let time pass, in ticks or milliseconds
    serve                                            let time pass until every server that runs serves
    check                                            what can be demanded now that every server is up and level
    trace votes timers | trace usual | trace nothing which lines are shown from here on
    show [1 2]                                       state, epochs and history of servers

Between two commands everybody works until nothing is left to do, as far as nothing is held back.
"""

from collections.abc import Callable, Collection, Iterable

import msgspec

from lab.service.requests import (
    CheckOp,
    Closed,
    Connected,
    Create,
    CreateMode,
    CreateOp,
    Delete,
    DeleteOp,
    GetChildren,
    GetData,
    Multi,
    Op,
    Request,
    SetData,
    SetDataOp,
    Sync,
)
from lab.service.transactions import CreateTxn, encode_txns
from lab.sim.client import Client, Operation
from lab.sim.machine import TICK_MS, Machine
from lab.sim.network import Network
from lab.sim.observer import EffectObserver
from lab.sim.trace import CATEGORIES, USUAL, trace_client, trace_effect
from lab.sim.world import World
from lab.zab.batches import make_batch
from lab.zab.config import PeerId, ZabConfig
from lab.zab.effects import PeerEffect
from lab.zab.messages import ServerState, TxnBatch
from lab.zab.zxid import Zxid, make_zxid, show

_SERVE_TICKS_MAX = 200


class ScriptError(Exception):
    """A command makes no sense; the message quotes it."""


class Script:
    """One scenario as it goes; `run` takes a command and returns the lines it brought about."""

    def __init__(self, invariants: Collection[str] | None = None) -> None:
        """`invariants`: the names of those that are checked; None: all."""
        self._invariants = invariants
        self._lines: list[str] = []
        self._shown = set(USUAL)
        self._clients: dict[str, Client] = {}
        self._world: World | None = None
        self._held_disks: set[PeerId] = set()
        self._commands: dict[str, Callable[..., None]] = {
            "ensemble": self._ensemble,
            "disk": self._disk,
            "start": self._each(lambda server: self.world.start(server)),
            "crash": self._each(lambda server: self.world.crash(server)),
            "power-fail": self._each(lambda server: self.world.power_fail(server)),
            "wipe": self._each(lambda server: self.world.wipe(server)),
            "freeze": self._each(lambda server: self.world.freeze(server)),
            "thaw": self._each(lambda server: self.world.thaw(server)),
            "partition": self._partition,
            "heal": lambda: self.world.heal(),
            "client": self._client,
            "do": self._do,
            "manual": self._manual,
            "automatic": self._automatic,
            "receive": self._receive,
            "flush": self._flush,
            "hold": self._hold,
            "release": self._release,
            "tick": lambda count="1": self.world.advance(TICK_MS * int(count)),
            "advance": lambda ms: self.world.advance(float(ms)),
            "check": lambda: self.world.check_calm(),
            "serve": lambda: self.world.run_until_serving(_SERVE_TICKS_MAX),
            "trace": self._trace,
            "show": self._show,
        }

    @property
    def world(self) -> World:
        if self._world is None:
            raise ScriptError("the first command has to be `ensemble`")
        return self._world

    def run(self, command: str) -> list[str]:
        """Raises ScriptError for a command that makes no sense, InvariantError if the protocol breaks a promise."""
        name, *words = command.split()
        if name not in self._commands:
            raise ScriptError(f"> {command}: no such command; there are {', '.join(self._commands)}")
        self._lines = []
        try:
            self._commands[name](*words)
            self._work()
        except (ValueError, IndexError, KeyError, TypeError) as error:
            raise ScriptError(f"> {command}: {error!r}") from error
        return self._lines

    def _work(self) -> None:
        for me, machine in self.world.machines.items():
            if machine.running:
                machine.store.held = me in self._held_disks
        self.world.settle()

    # -- what is shown

    def _on_effect(self, server: PeerId, effect: PeerEffect) -> None:
        category, lines = trace_effect(server, effect)
        if category in self._shown:
            self._lines += lines

    def _on_client(self, name: str, event: Connected | Closed | Operation) -> None:
        if "clients" in self._shown:
            self._lines.append(trace_client(name, event))

    def _trace(self, *words: str) -> None:
        self._shown = set()
        for word in words:
            if word == "usual":
                self._shown |= USUAL
            elif word in CATEGORIES:
                self._shown.add(word)
            elif word != "nothing":
                raise ScriptError(f"trace {word}: there are usual, nothing, {', '.join(CATEGORIES)}")

    def _show(self, *words: str) -> None:
        for server in self._servers(words) or sorted(self.world.machines):
            self._lines.append(_describe(self.world.machines[server]))

    # -- the ensemble

    def _ensemble(self, count: str, *words: str) -> None:
        voters = int(count)
        fields = dict(word.split("=") for word in words)
        observers = int(fields.pop("observers", 0))
        settings = {name: msgspec.json.decode(value) for name, value in fields.items()}
        settings["voters"] = tuple(range(1, voters + 1))
        settings["observers"] = tuple(range(voters + 1, voters + observers + 1))
        self._world = World(msgspec.convert(settings, ZabConfig), invariants=self._invariants)
        self._world.observers.add(EffectObserver(self._on_effect))

    def _disk(self, server: str, *words: str) -> None:
        fields = dict(word.split("=") for word in words)
        zxids = [zxid for run in fields.get("log", "").split(",") if run for zxid in _zxids(run)]
        machine = self.world.machines[int(server)]
        log = [make_batch(zxid, 1, encode_txns([CreateTxn(0, 0, f"/{show(zxid)}", b"")])) for zxid in zxids]
        _prepare_disk(machine, int(fields.get("accepted", 0)), int(fields.get("current", 0)), log)
        self.world.suite.facts.learn_disk(0, log)

    def _partition(self, *words: str) -> None:
        sides = " ".join(words).split("/")
        self.world.partition([self._servers(side.split()) for side in sides])

    @staticmethod
    def _servers(words: Iterable[str]) -> list[PeerId]:
        return [int(word) for word in words]

    def _each(self, action: Callable[[PeerId], None]) -> Callable[..., None]:
        def command(*words: str) -> None:
            for server in self._servers(words):
                action(server)

        return command

    # -- links and disks under the script's control

    def _all_ways(self) -> set[tuple[PeerId, PeerId]]:
        return {(a, b) for a in self.world.machines for b in self.world.machines if a != b}

    def _manual(self) -> None:
        self.world.held = self._all_ways()
        self._held_disks = set(self.world.machines)

    def _automatic(self) -> None:
        self.world.held = set()
        self._held_disks = set()

    def _receive(self, target: str, word: str, source: str, count: str = str(1 << 30)) -> None:
        if word != "from":
            raise ScriptError("receive: it reads `receive 2 from 1`")
        network = self.world.network
        assert isinstance(network, Network)
        if network.deliver(int(source), int(target), learner=int(count)) == 0:
            raise ScriptError(f"receive {target} from {source}: nothing is under way")

    def _flush(self, server: str) -> None:
        machine = self.world.machines[int(server)]
        machine.store.held = False
        machine.turn()

    def _hold(self, *words: str) -> None:
        if words[0] == "disk":
            self._held_disks |= set(self._servers(words[1:]))
        else:
            self.world.held |= self._ways(words)

    def _release(self, *words: str) -> None:
        if words[0] == "disk":
            self._held_disks -= set(self._servers(words[1:]))
        else:
            self.world.held -= self._ways(words)

    def _ways(self, words: tuple[str, ...]) -> set[tuple[PeerId, PeerId]]:
        source, arrow, *targets = words
        if arrow != "->":
            raise ScriptError(f"{' '.join(words)}: it reads `1 -> 2 3`")
        return {(int(source), target) for target in self._servers(targets)}

    # -- clients

    def _client(self, name: str, word: str, server: str) -> None:
        if word != "at":
            raise ScriptError("client: it reads `client a at 2`")
        if name not in self._clients:
            client = self._clients[name] = self.world.add_client()
            client.watch = lambda event: self._on_client(name, event)
        self._clients[name].attach(self.world.machines[int(server)].ports)

    def _do(self, name: str, *words: str) -> None:
        client = self._clients[name]
        requests = " ".join(words).split(", ")
        client.submit(*[_request(client.next_cxid(), *request.split(maxsplit=1)) for request in requests])


def _request(cxid: int, kind: str, argument: str = "") -> Request:
    match kind:
        case "multi":
            return Multi(cxid, [_op(*op.split()) for op in argument.split(";")])
        case "get":
            return GetData(cxid, argument)
        case "children":
            return GetChildren(cxid, argument)
        case "sync":
            return Sync(cxid)
    match _op(kind, argument):
        case CreateOp(path, data, flags):
            return Create(cxid, path, data, flags)
        case SetDataOp(path, data, version):
            return SetData(cxid, path, data, version)
        case DeleteOp(path, version):
            return Delete(cxid, path, version)
    raise ScriptError(f"{kind} {argument}: only within a multi")


def _op(kind: str, argument: str) -> Op:
    path, _, value = argument.partition("=")
    match kind:
        case "create":
            return CreateOp(path, value.encode())
        case "create-seq":
            return CreateOp(path, value.encode(), CreateMode.PERSISTENT_SEQUENTIAL)
        case "set":
            return SetDataOp(path, value.encode())
        case "delete":
            return DeleteOp(path)
        case "check":
            path, _, version = argument.partition("@")
            return CheckOp(path, int(version))
    kinds = "create, create-seq, set, delete, get, children, sync, multi, and check within a multi"
    raise ScriptError(f"{kind} {argument}: requests are {kinds}")


def _zxids(run: str) -> list[Zxid]:
    """`1.1-1.3` or `2.1`."""
    ends = [make_zxid(*map(int, end.split("."))) for end in run.split("-")]
    return list(range(ends[0], ends[-1] + 1))


def _prepare_disk(machine: Machine, accepted: int, current: int, log: list[TxnBatch]) -> None:
    """Let the machine's disk hold these epochs and this log."""
    store = machine.open_store()
    store.recover()
    for batch in log:
        store.append(1, batch)
    store.save_accepted_epoch(accepted)
    store.save_current_epoch(current)
    store.close()


def _describe(machine: Machine) -> str:
    server = machine.server
    if server is None:
        return f"{machine.me}: down"
    peer, runs = server.peer, machine.store.log_runs()
    state = peer.state.name if peer.state is ServerState.LOOKING else f"{peer.state.name} {peer.phase.name}"
    whom = f" leader {peer.leader}" if peer.state in (ServerState.FOLLOWING, ServerState.OBSERVING) else ""
    base = f"snapshot {show(runs[0][1])}, " if runs and runs[0][1] else "" if runs else "nothing, "
    log = " ".join(show(first) if first == last else f"{show(first)}-{show(last)}" for first, last in runs[1:])
    epochs = f"accepted {peer.state_of_zab.accepted_epoch} current {peer.state_of_zab.current_epoch}"
    return f"{machine.me}: {state}{whom}, {epochs}, {base}log {log or 'empty'}, applied {show(server.applied_zxid)}"
