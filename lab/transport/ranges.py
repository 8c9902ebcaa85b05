"""The packet numbers that have been received: few ranges, and a floor below which nothing counts as new."""

from lab.transport.datagram import RANGES_MAX


class ReceivedNumbers:
    """Which numbers of a session have arrived.

    This is also the replay window: a number is new once.  What is older than the ranges that are kept is not.
    """

    def __init__(self) -> None:
        self.top = [0, 0]  # the newest range; numbers begin with 1
        self.ranges: list[list[int]] = [self.top]  # oldest first, first and last number of each, none adjacent
        self._floor = 1  # every number below it is known

    @property
    def largest(self) -> int:
        return self.top[1]

    def has(self, number: int) -> bool:
        """Whether `number` is not new."""
        if number > self.top[1]:
            return False
        if number < self._floor or number <= self.ranges[0][0]:
            return True
        return any(first <= number <= last for first, last in reversed(self.ranges))

    def add(self, number: int) -> bool:
        """False: `number` is not new."""
        if number > self.top[1]:
            if number == self.top[1] + 1:
                self.top[1] = number
            else:
                self.top = [number, number]
                self.ranges.append(self.top)
                self._shorten()
            return True
        return number >= self._floor and number > self.ranges[0][0] and self._fill(number)

    def _fill(self, number: int) -> bool:
        """Add a number below the largest."""
        ranges = self.ranges
        index = len(ranges) - 1
        while ranges[index][0] > number:
            index -= 1
        below, above = ranges[index], ranges[index + 1] if index + 1 < len(ranges) else None
        if number <= below[1]:
            return False
        joins_below, joins_above = number == below[1] + 1, above is not None and number == above[0] - 1
        if joins_below and joins_above and above is not None:
            above[0] = below[0]
            del ranges[index]
        elif joins_below:
            below[1] = number
        elif joins_above and above is not None:
            above[0] = number
        else:
            ranges.insert(index + 1, [number, number])
            self._shorten()
        return True

    def raise_floor(self, floor: int) -> None:
        """Numbers below `floor` no longer matter to their sender: gaps among them are no gaps."""
        if floor > self._floor:
            self._floor = floor
        if len(self.ranges) > 1:
            self._drop_known()

    def _drop_known(self) -> None:
        ranges, floor = self.ranges, self._floor
        while len(ranges) > 1 and ranges[1][0] <= floor:
            del ranges[0]

    def _shorten(self) -> None:
        """Forget the oldest range if there are too many; what was missing up to it now counts as known."""
        self._drop_known()
        if len(self.ranges) > RANGES_MAX:
            del self.ranges[0]
