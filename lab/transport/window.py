"""One session of a link over datagrams, sans-IO: what arrives and what time it is goes in, datagrams come out.

Datagrams may be lost, repeated, delayed, cut and overtaken by others; frames arrive once and in order per channel, or
the session ends.  How sessions begin and follow each other is `lab.transport.association`'s matter; whether a datagram
is genuine is its carrier's.  Times are nanoseconds of one monotonic clock.
"""

from collections.abc import Callable, Sequence

import msgspec

from lab.transport.congestion import Congestion
from lab.transport.datagram import (
    ACK,
    ACK_BYTES_MAX,
    ASKING,
    CLOSE,
    DATA,
    DELAY_UNIT_NS,
    HEADER_BYTES,
    PING,
    PREFIX_BYTES,
    Range,
    pack_head,
    pack_place,
    pack_ranges,
    unpack_header,
    unpack_ranges,
)
from lab.transport.inbound import Inbound
from lab.transport.recovery import MS, Recovery, Rtt
from lab.transport.streams import InStream, OutStream, WindowChannel

MTU_MAX = 65_000
MTU_MIN = ACK_BYTES_MAX  # one that tells of many gaps is whole; with a tag below the 576 that IPv4 grants everybody
_VIEW_BYTES = 4096
_PRIORITY_DATAGRAMS = 4  # of the first of several channels, that leave even if the congestion window is full
_PROBES_OF_SILENCE = 3  # in a row without an answer: the path carried nothing (RFC 9002, 7.6)


class WindowConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What both ends of a link agree on."""

    mtu_bytes: int = 1_400  # of a datagram, with everything in it, the tag included
    tag_bytes: int = 0  # appended by the carrier
    keepalive_ns: int = 50 * MS  # a session in which nothing is sent for so long sends a PING
    dead_after_ns: int = 500 * MS  # without a sign of life the session ends
    receive_bytes_max: int = 4 << 20  # of one channel that have arrived and were not received by the process
    queue_bytes_max: int = 64 << 20  # of one channel that wait for the network

    def __post_init__(self) -> None:
        if not MTU_MIN + self.tag_bytes <= self.mtu_bytes <= MTU_MAX:
            raise ValueError(f"mtu_bytes={self.mtu_bytes}: from {MTU_MIN + self.tag_bytes} to {MTU_MAX}")
        if self.receive_bytes_max < 2 * self.mtu_bytes:
            raise ValueError(f"receive_bytes_max={self.receive_bytes_max}: at least two datagrams of {self.mtu_bytes}")
        if not 0 < self.keepalive_ns < self.dead_after_ns:
            raise ValueError(f"keepalive_ns={self.keepalive_ns} must be below dead_after_ns={self.dead_after_ns}")


class Window:
    """One end of one session, which is open from the beginning."""

    def __init__(
        self,
        prefixes: tuple[bytes, bytes],
        channels: int,
        config: WindowConfig,
        rtt_ns: int | None,
        now: int,
        on_dirty: Callable[[], None],
    ) -> None:
        """`prefixes` of what arrives and of what is sent.  `rtt_ns`: as seen while the session was agreed on.

        `on_dirty` is called when there is something that `datagrams_to_send` could send at once, and there was nothing.
        """
        self._prefix_in, self._prefix_out = prefixes
        self._config = config
        self._datagram_bytes = config.mtu_bytes - config.tag_bytes
        self._piece_bytes = self._datagram_bytes - HEADER_BYTES
        self._is_dirty, self._on_dirty = True, on_dirty
        self._timeout = now
        self._outs = [OutStream(config.queue_bytes_max, self._piece_bytes, self._dirty) for _ in range(channels)]
        self._ins = [InStream(config.receive_bytes_max, self._on_room) for _ in range(channels)]
        self.channels = [WindowChannel(*pair) for pair in zip(self._outs, self._ins, strict=True)]
        for out in self._outs:
            out.limit = config.receive_bytes_max  # both ends have one configuration
        for into in self._ins:
            into.announced = into.limit
        rtt = Rtt(rtt_ns)
        self.recovery = Recovery(self._piece_bytes, rtt)
        self.congestion = Congestion(self._datagram_bytes, rtt, now)
        self._inbound = Inbound(self._ins, now)
        self._foreign: list[bytes] = []  # of what has just arrived
        self._ack_largest = self._ack_run = 0  # of the last acknowledgement
        self._heard_at = now  # the other end lived, as far as it can be held against it
        self._called_at = now
        self._called_before = now
        self._numbered_at = now  # something left that has to be acknowledged
        self._probes_due = 0  # datagrams that leave whatever the congestion window says
        self._ping_wanted = False
        self._blocked_at: int | None = None  # since when a limit holds something back, or when it was asked for last
        self._has_room_news = False  # of a channel: its limit should be told, or it failed
        self.ended = ""  # why
        self.sent = self.sent_bytes = self.retransmitted = 0

    @property
    def replayed(self) -> int:
        """Numbered datagrams that came again."""
        return self._inbound.replayed

    @property
    def malformed(self) -> int:
        """Datagrams of this session that no correct end sends."""
        return self._inbound.malformed

    def _dirty(self) -> None:
        if not self._is_dirty:
            self._is_dirty = True
            self._on_dirty()

    def _on_room(self) -> None:
        self._has_room_news = True
        self._dirty()

    # -- what arrives --------------------------------------------------------------------------------

    def on_datagrams(self, datagrams: Sequence[bytes], now: int) -> list[bytes]:
        """Take what arrived, in this order; returns what does not belong to this session."""
        inbound = self._inbound
        if inbound.take(datagrams, now, self._on_other):
            self._heard_at = now
            if inbound.wants_ack(now):
                self._dirty()
            elif inbound.ack_at is not None and inbound.ack_at < self._timeout:
                self._timeout = inbound.ack_at
        foreign = self._foreign
        if foreign:
            self._foreign = []
        return foreign

    def _on_other(self, data: bytes, now: int) -> None:
        """A datagram that is not just one more like the last one."""
        if data[:PREFIX_BYTES] != self._prefix_in:
            self._foreign.append(data)
            return
        inbound = self._inbound
        if len(data) < HEADER_BYTES:
            inbound.malformed += 1
            return
        _, largest, limit, floor, run, delay, kind, channel, number, offset, size = unpack_header(data)
        if (
            size != len(data) - HEADER_BYTES
            or not 0 < run <= largest + 1
            or largest >= self.recovery.next_number
            or channel >= len(self._ins)
            or floor > number
            or not DATA <= kind <= CLOSE
        ):
            inbound.malformed += 1
            return
        older: list[Range] | None = None
        if kind <= PING:
            if not inbound.on_numbered(data, kind, channel, number, offset, now):
                return
            if kind == PING:  # it asks for this channel's limit, and what leaves next may be another channel's
                self._ins[channel].announced = 0
                self._has_room_news = True
        elif kind == CLOSE:
            self.ended = self.ended or "the other end closed the session"
            return
        else:
            older = unpack_ranges(data, largest - run + 1)
            if older is None:
                inbound.malformed += 1
                return
        inbound.numbers.raise_floor(floor)
        if older is not None or largest != self._ack_largest or run != self._ack_run:
            self._ack_largest, self._ack_run = largest, run
            self._on_ack((largest - run + 1, largest), older, delay * DELAY_UNIT_NS, now)
        out = self._outs[channel]
        if limit > out.limit:
            out.limit = limit
            if out.waiting_bytes and out.has_new():
                self._dirty()

    def _on_ack(self, newest: Range, older: list[Range] | None, delay_ns: int, now: int) -> None:
        recovery, congestion = self.recovery, self.congestion
        silence = recovery.probes >= _PROBES_OF_SILENCE
        recovery.on_ack(newest, older, delay_ns, now)
        if recovery.sampled:
            congestion.on_rtt(now)
        if recovery.spurious:
            congestion.on_spurious(recovery.spurious * self._datagram_bytes)
        if recovery.acked_bytes:
            self._heard_at = now
            congestion.on_ack(
                recovery.acked_bytes, recovery.in_flight, recovery.largest_acked, recovery.next_number, now
            )
        if recovery.lost_bytes:
            self._on_lost()
            if silence and not recovery.spurious:
                congestion.on_silence()
        for out in self._outs:
            if (out.waiting_bytes or out.lost) and out.has_something():
                self._dirty()
        if recovery.lost_at is not None:
            self._timeout = min(self._timeout, recovery.lost_at)

    def _on_lost(self) -> None:
        recovery = self.recovery
        self.congestion.on_lost(recovery.lost_bytes, recovery.largest_acked, recovery.next_number)

    # -- what is sent --------------------------------------------------------------------------------

    def datagrams_to_send(self, now: int) -> list[bytes]:
        """What has to leave now, after what time alone has brought about; nothing from an ended session."""
        is_due = now >= self._timeout
        if not is_due and not self._is_dirty:
            return []
        self._is_dirty = False
        self._called_before, self._called_at = self._called_at, now
        if is_due:
            self._look_at_clock(now)
        if self._has_room_news:
            self._look_for_failures()
        if self.ended:
            return []
        recovery = self.recovery
        was_idle = not recovery.in_flight
        datagrams: list[bytes] = []
        inbound = self._inbound
        if inbound.unacked and inbound.has_gaps:
            datagrams.append(self._ack_datagram(inbound.ack_channel, now))
        has_more = self._send_streams(datagrams, now)
        if is_due:
            datagrams += self._pings(now)
        if not datagrams and inbound.wants_ack(now):
            datagrams.append(self._ack_datagram(inbound.ack_channel, now))
        if datagrams:
            inbound.on_acked()
            self.sent += len(datagrams)
        if self._has_room_news:
            self._announce_limits(datagrams, now)
        if is_due:
            self._set_timer()
        elif was_idle and recovery.in_flight:
            self._timeout = min(self._timeout, now + recovery.rtt.probe_after())
        if has_more:
            self._timeout = min(self._timeout, max(self.congestion.may_send_at, now))
        return datagrams

    def _send_streams(self, datagrams: list[bytes], now: int) -> bool:
        """Append what the channels have to send and may; whether the pace or a burst's length keeps something back."""
        recovery, congestion = self.recovery, self.congestion
        before, size = recovery.in_flight, self._datagram_bytes
        free = congestion.room(before, now)
        room = self._probes_due + (-(-free // size) if free > 0 else 0)
        self._probes_due = 0
        outs = self._outs
        extra = _PRIORITY_DATAGRAMS if len(outs) > 1 else 0
        for channel, out in enumerate(outs):
            if out.lost or out.waiting_bytes:
                room -= self._send_stream(channel, out, max(room, extra), datagrams, now)
            extra = 0
        in_flight = recovery.in_flight
        if in_flight != before:
            self._numbered_at = now
            self.sent_bytes += in_flight - before
            congestion.on_sent(in_flight - before, now)
        has_more = room <= 0 and any([out.has_something() for out in outs])  # noqa: C419 - few
        congestion.is_used = has_more and congestion.is_full(in_flight)
        return has_more and not congestion.is_used

    def _send_stream(self, channel: int, out: OutStream, room: int, datagrams: list[bytes], now: int) -> int:
        """Append up to `room` datagrams of one channel, lost ones first; returns how many."""
        begun_with, size = len(datagrams), self._piece_bytes
        while room > 0:
            if out.lost:
                stretch = out.take_lost(room)
                count = -(-(stretch.end - stretch.begin) // size)
                self.retransmitted += count
            else:
                new = out.take_new(room) if out.waiting_bytes else None
                if new is None:
                    break
                stretch = new
                count = -(-(stretch.end - stretch.begin) // size)
            number = self.recovery.add(count, now, out, stretch)
            head = self._pack_head(DATA if count < room else ASKING, channel, now)
            # a large piece is copied once by way of a view, a small one sooner twice
            blob, offset = stretch.blob if size < _VIEW_BYTES else memoryview(stretch.blob), stretch.offset
            end = stretch.end
            for at in range(stretch.begin, end, size):
                length = size if end - at > size else end - at
                datagrams.append(head + pack_place(number, offset, length) + blob[at : at + length])
                number += 1
                offset += size
            room -= count
        return len(datagrams) - begun_with

    def _pack_head(self, kind: int, channel: int, now: int) -> bytes:
        into = self._ins[channel]
        into.announced = into.limit
        delay = now - self._inbound.largest_at
        return pack_head(
            self._prefix_out, self._inbound.numbers.top, into.limit, self.recovery.floor, delay, kind, channel
        )

    def _ack_datagram(self, channel: int, now: int) -> bytes:
        head = self._pack_head(ACK, channel, now)
        self.sent_bytes += HEADER_BYTES
        ranges = pack_ranges(self._inbound.numbers.ranges)
        return head + pack_place(self.recovery.next_number, 0, len(ranges)) + ranges

    def _pings(self, now: int) -> list[bytes]:
        """What has to be asked: whether the other end lives, and limits that hold something back (were they lost?)."""
        blocked = [index for index, out in enumerate(self._outs) if out.has_new() and not out.has_something()]
        if not blocked:
            self._blocked_at = None
        elif self._blocked_at is None:
            self._blocked_at = now
        wait = self._config.keepalive_ns
        is_silent = self._numbered_at != now and (self._ping_wanted or now - self._numbered_at >= wait)
        if not is_silent and (self._blocked_at is None or now - self._blocked_at < wait):
            return []
        self._ping_wanted = False
        self._numbered_at = now
        self._blocked_at = now if blocked else None
        return [self._ping_datagram(channel, now) for channel in blocked or (0,)]

    def _ping_datagram(self, channel: int, now: int) -> bytes:
        """The answer tells the channel's limit."""
        number = self.recovery.add(1, now, None, None)
        return self._pack_head(PING, channel, now) + pack_place(number, 0, 0)

    def _announce_limits(self, datagrams: list[bytes], now: int) -> None:
        """Tell the limits of channels that have risen by much; what is in `datagrams` has told some."""
        self._has_room_news = False
        for channel, into in enumerate(self._ins):
            if 4 * (into.limit - into.announced) >= self._config.receive_bytes_max:
                datagrams.append(self._ack_datagram(channel, now))
                self._inbound.on_acked()
                self.sent += 1

    def close_datagram(self, now: int) -> bytes:
        """The last one: the other end need not wait for more."""
        return self._pack_head(CLOSE, 0, now) + pack_place(self.recovery.next_number, 0, 0)

    def end(self, reason: str) -> None:
        """Nothing is sent any more; what has arrived in order can still be received."""
        self.ended = self.ended or reason
        for out in self._outs:
            out.end()

    # -- time ----------------------------------------------------------------------------------------

    def next_timeout(self) -> int:
        """When `datagrams_to_send` has something to do even if nothing happens until then; 0: at once."""
        return 0 if self._is_dirty else self._timeout

    def _look_for_failures(self) -> None:
        for into in self._ins:
            if into.failure:
                self.ended = self.ended or into.failure

    def _look_at_clock(self, now: int) -> None:
        """Silence, losses, and answers that are overdue."""
        config, recovery = self._config, self.recovery
        away = now - self._called_before - 2 * config.keepalive_ns
        if away > 0:  # nobody looked: what time passed there is not the other end's silence
            self._heard_at = min(self._heard_at + away, now)
        if now - self._heard_at >= config.dead_after_ns:
            self.ended = self.ended or f"no sign of life for {(now - self._heard_at) // MS} ms"
        if recovery.lost_at is not None and now >= recovery.lost_at:
            recovery.lost_bytes = 0
            recovery.detect_lost(now)
            if recovery.lost_bytes:
                self._on_lost()
        probe_at = recovery.probe_at()
        if probe_at is not None and now >= probe_at:
            self._probes_due = recovery.probe()
            self._ping_wanted = not self._probes_due

    def _set_timer(self) -> None:
        """When to look again at the latest.

        What arrives and leaves only postpones most of what time brings about; to look in vain once in a while costs
        less than to know exactly each time.  So this is called only when a timer has run out.
        """
        at = min(self._heard_at + self._config.dead_after_ns, self._numbered_at + self._config.keepalive_ns)
        for timer in (self.recovery.lost_at, self.recovery.probe_at(), self._inbound.ack_at):
            if timer is not None and timer < at:
                at = timer
        self._timeout = at
