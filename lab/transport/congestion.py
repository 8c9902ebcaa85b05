"""How much of a session may be in flight, and how fast it leaves: CUBIC (RFC 9438) and pacing.

Differs from CUBIC: a loss shrinks the window only where a queue stands (the least round-trip time of the last round is
above the base), where much of a round is lost, or where nothing at all got through for long.  Loss by chance, as
on a radio link or in this lab's shaped networks, is repaired and not answered by slowing down.  Processes that get the
CPU late look like a queue, too; so where most rounds lose something a queue does not shrink the window below the size
of a batch.
"""

from lab.transport.recovery import MS, Rtt

_BETA = 0.7  # RFC 9438, 4.6
_C = 0.4  # RFC 9438, 5.1: datagrams per second cubed
_ALPHA = 3 * (1 - _BETA) / (1 + _BETA)  # RFC 9438, 4.3
_INITIAL_WINDOW = 10  # datagrams, RFC 6928
_LEAST_WINDOW = 2
_THIN_WINDOW_BYTES = 14_600  # RFC 6928: what anybody may begin with, one loss alone does not take away
_LEAST_ROUND = 4  # of so few datagrams says nothing about chance
_LOSS_MAX = 0.25  # of a round, beyond which chance is no excuse,
_LOST_LEAST = 10  # if so many datagrams say so
_LOSSY = 0.5  # of the last rounds, some eight, have lost something: chance has a part in it
_LOSSY_WINDOW_BYTES = 48 << 10  # which loss then leaves, unless much of a round is lost
_BASE_SPAN_NS = 10_000 * MS  # for so long every round trip has seen a queue, or what was taken for one
_DRAIN_SHARE = 4  # then what is in flight sinks to a fourth, so that the queue runs empty and shows the bare way
_BURST_BYTES = 64 << 10
_UNPACED_RTT_NS = MS  # of base: on so short a way round trips are made of turns of processes, and pacing would add some
_BURST_NS = MS  # a burst is what may leave in this time


class Round:
    """What happened since the datagrams were sent that are being acknowledged now: about one round trip."""

    def __init__(self) -> None:
        self.ends_with = 0  # number that was the next one when the round began
        self.least_rtt = self.last_least_rtt = 0  # of this round and the last one; 0: not measured
        self.acked_bytes = self.lost_bytes = 0

    def loses_much(self, datagram_bytes: int) -> bool:
        lost = self.lost_bytes
        return lost > _LOST_LEAST * datagram_bytes and lost > _LOSS_MAX * (self.acked_bytes + lost)

    def begin(self, next_number: int) -> None:
        self.ends_with = next_number
        if self.least_rtt:
            self.last_least_rtt = self.least_rtt
        self.least_rtt = self.acked_bytes = self.lost_bytes = 0

    def has_queue(self, rtt: Rtt) -> bool:
        """Whether all of the last round trips saw one."""
        if rtt.latest <= rtt.queue_from:
            return False
        least = min(self.least_rtt or self.last_least_rtt, self.last_least_rtt or self.least_rtt)
        return least > rtt.queue_from


class Congestion:
    """The congestion window of one session."""

    def __init__(self, datagram_bytes: int, rtt: Rtt, now: int) -> None:
        self._datagram_bytes = datagram_bytes
        self._rtt = rtt
        self._round = Round()
        self.window = _INITIAL_WINDOW * datagram_bytes
        self._no_queue_at = now  # when a round trip was last as short as without a queue
        self._drains_until: int | None = None
        self._drained_rtt = 0  # the least while it drains
        self._threshold = 1 << 62  # of slow start
        self._peak = 0.0  # RFC 9438 W_max
        self._epoch: int | None = None  # when this stage of growth began
        self._flat_after = 0.0  # RFC 9438 K, seconds
        self._reno = 0.0  # RFC 9438 W_est
        self._recovers_to = 0  # losses below this number belong to a reduction that was made
        self._undo: tuple[int, int, float] | None = None
        self._undo_lost = 0  # bytes on account of which the last reduction was made, not proven spurious
        self.may_send_at = 0  # for the sake of an even pace, not before
        self._lossy = 0.0  # share of the last rounds in which something was lost
        self.is_used = False  # the window was what kept something from leaving

    @property
    def in_slow_start(self) -> bool:
        return self.window < self._threshold

    def is_full(self, in_flight: int) -> bool:
        """Whether it is the window that keeps things from leaving."""
        return in_flight >= (self.window if self._drains_until is None else self.window // _DRAIN_SHARE)

    # -- what became of datagrams --------------------------------------------------------------------

    def on_ack(self, acked_bytes: int, in_flight: int, largest_acked: int, next_number: int, now: int) -> None:
        """`in_flight` is what is left."""
        round_ = self._round
        round_.acked_bytes += acked_bytes
        if not self.is_used and 2 * (in_flight + acked_bytes) < self.window:
            self._epoch = None
        elif self._drains_until is None:
            self._grow(acked_bytes, now)
        if largest_acked >= round_.ends_with:
            if round_.lost_bytes and largest_acked >= self._recovers_to and round_.loses_much(self._datagram_bytes):
                self._reduce(round_.lost_bytes, next_number, _LEAST_WINDOW * self._datagram_bytes)
            if self.window < self._threshold and round_.has_queue(self._rtt):
                self._threshold = self.window
            if round_.lost_bytes or self._lossy:
                self._judge(round_)
            round_.begin(next_number)

    def on_rtt(self, now: int) -> None:
        """A round trip was measured; comes before `on_ack`."""
        sample = self._rtt.latest
        round_ = self._round
        if not round_.least_rtt or sample < round_.least_rtt:
            round_.least_rtt = sample
        if self._drains_until is not None:
            self._drained_rtt = min(self._drained_rtt, sample)
            if now >= self._drains_until:
                self._drains_until, self._no_queue_at = None, now
                self._rtt.set_base(self._drained_rtt)
        elif sample <= self._rtt.queue_from:
            self._no_queue_at = now
        elif now - self._no_queue_at > _BASE_SPAN_NS:
            self._drains_until, self._drained_rtt = now + 2 * self._rtt.smoothed, sample

    def on_lost(self, lost_bytes: int, largest_acked: int, next_number: int) -> None:
        self._round.lost_bytes += lost_bytes
        if largest_acked < self._recovers_to:
            self._undo_lost += lost_bytes
        elif self._round.has_queue(self._rtt) and (self._lossy < _LOSSY or self.window > _LOSSY_WINDOW_BYTES):
            self._reduce(lost_bytes, next_number, max(_LEAST_WINDOW * self._datagram_bytes, _THIN_WINDOW_BYTES))

    def _judge(self, round_: Round) -> None:
        """A round is over: whether losses come so often that they come by chance."""
        if round_.acked_bytes + round_.lost_bytes < _LEAST_ROUND * self._datagram_bytes:
            return
        self._lossy += ((round_.lost_bytes > 0) - self._lossy) / 8
        if self._lossy < _LOSSY / 64:
            self._lossy = 0.0
        elif (
            self._lossy >= _LOSSY and self.window < _LOSSY_WINDOW_BYTES and not round_.loses_much(self._datagram_bytes)
        ):
            self.window, self._epoch = _LOSSY_WINDOW_BYTES, None

    def on_spurious(self, bytes_: int) -> None:
        """What was lost was not.  A reduction for which nothing is left as a reason is taken back (RFC 9438, 4.9)."""
        self._round.lost_bytes -= bytes_
        self._undo_lost -= bytes_
        if self._undo is not None and self._undo_lost <= 0:
            window, self._threshold, self._peak = self._undo
            self.window = max(self.window, window)
            self._undo = self._epoch = None

    def on_silence(self) -> None:
        """Nothing got through for several round trips (persistent congestion, RFC 9002, 7.6): begin anew."""
        self._threshold = max(self.window // 2, _LEAST_WINDOW * self._datagram_bytes)
        self.window = _LEAST_WINDOW * self._datagram_bytes
        self._undo = self._epoch = None

    def _grow(self, acked_bytes: int, now: int) -> None:
        if self.window < self._threshold:
            self.window = min(self.window + acked_bytes, max(self._threshold, self.window))
            return
        size, window = self._datagram_bytes, self.window
        if self._epoch is None:
            self._epoch, self._reno = now, float(window)
            self._peak = max(self._peak, float(window))
            self._flat_after = ((self._peak - window) / size / _C) ** (1 / 3)
        seconds = (now - self._epoch + self._rtt.smoothed) / 1e9
        target = self._peak + _C * size * (seconds - self._flat_after) ** 3
        target = min(max(target, window), 1.5 * window)
        self._reno += (_ALPHA if self._reno < self._peak else 1.0) * size * acked_bytes / window
        grown = max(window + (target - window) * acked_bytes / window, self._reno)
        self.window = int(min(grown, window + acked_bytes))

    def _reduce(self, lost_bytes: int, next_number: int, least_bytes: int) -> None:
        """Give way, but to no less than `least_bytes`."""
        window, self._undo_lost = self.window, lost_bytes
        self._undo = (window, self._threshold, self._peak)
        # fast convergence (RFC 9438, 4.7): who had to give way before reaching the old peak leaves more to others
        self._peak = window * (1 + _BETA) / 2 if window < self._peak else float(window)
        self.window = max(int(window * _BETA), min(window, least_bytes))
        self._threshold = self.window
        self._epoch = None
        self._recovers_to = next_number

    # -- pacing --------------------------------------------------------------------------------------

    def room(self, in_flight: int, now: int) -> int:
        """Bytes that may leave at once."""
        window = self.window if self._drains_until is None else self.window // _DRAIN_SHARE
        if self._rtt.base < _UNPACED_RTT_NS:
            return min(window - in_flight, _BURST_BYTES)
        saved_ns = now - self.may_send_at
        if saved_ns < 0:
            return 0
        burst = max(self._pace() * max(saved_ns, _BURST_NS) // 1_000_000_000, _INITIAL_WINDOW * self._datagram_bytes)
        return min(window - in_flight, burst, _BURST_BYTES)

    def _pace(self) -> int:
        """Bytes per second."""
        gain = 200 if self.in_slow_start else 125
        return self.window * gain * 10_000_000 // self._rtt.smoothed

    def on_sent(self, sent_bytes: int, now: int) -> None:
        if self._rtt.base >= _UNPACED_RTT_NS:
            # who sent little for a while may send as much at once as a window; what was set before the round trip was
            # known holds for a round trip at most
            saved_ns = min(self._rtt.smoothed, _BURST_BYTES * 1_000_000_000 // self._pace())
            begin = min(max(self.may_send_at, now - saved_ns), now + self._rtt.smoothed)
            self.may_send_at = begin + sent_bytes * 1_000_000_000 // self._pace()
