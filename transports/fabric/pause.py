"""The pause before something is tried again: it doubles with each failure in a row."""


class GrowingPause:
    """Seconds, from `first` to `longest`. Used by one thread at a time.

    >>> pause = GrowingPause(1.0, 60.0)
    >>> [pause.next(), pause.next(), pause.next()]
    [1.0, 2.0, 4.0]
    """

    def __init__(self, first, longest):
        self._first, self._longest = first, longest
        self.reset()

    def next(self):
        """How long to wait now."""
        seconds = self._seconds
        self._seconds = min(2 * seconds, self._longest)
        return seconds

    def reset(self):
        """It has worked: the next pause is the first again."""
        self._seconds = min(self._first, self._longest)
