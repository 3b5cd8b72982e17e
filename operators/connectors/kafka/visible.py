"""Up to when a partition shows everything: behind an open transaction there are records that cannot be read yet.

A consumer of committed records knows two ends: the high watermark, the next offset to be written, and the last stable
offset, where the oldest open transaction begins. It reads up to the second one, and reports it as the end. Records
behind it are of a time at which the high watermark had passed it. So all records of a moment are visible if the high
watermark of that moment is not above the last stable offset of now.
"""

from collections import deque


class VisibleTime:
    """The last moment of which all records of a partition are visible.

    >>> visible = VisibleTime()
    >>> visible.observe(10.0, high=5, stable=5), visible.until
    (None, 10.0)
    >>> visible.observe(11.0, high=8, stable=5), visible.observe(12.0, high=9, stable=5), visible.until
    (None, None, 10.0)
    >>> visible.observe(13.0, high=9, stable=8), visible.until  # the first of two transactions has ended
    (None, 11.0)
    >>> visible.observe(14.0, high=10, stable=10), visible.until
    (None, 14.0)
    """

    def __init__(self) -> None:
        self.until: float | None = None
        """POSIX seconds; None while unknown."""
        self._highs: deque[tuple[int, float]] = deque()
        """High watermarks above the last stable offset, with the last moment of each."""

    def observe(self, now: float, *, high: int, stable: int) -> None:
        """Note both ends of the partition as reported at `now`; a negative end is unknown."""
        if stable < 0 or high <= stable:
            self._highs.clear()
            self.until = now
            return
        if self.until is None:  # in the very first report: since when is unknown
            self.until = now
        if self._highs and self._highs[-1][0] == high:
            self._highs.pop()
        self._highs.append((high, now))
        while self._highs[0][0] <= stable:
            self.until = self._highs.popleft()[1]
