"""What the log says of each server: its stderr, what it says beside the protocol, its starts and
ends with their reasons. The page shows that between the messages.

A line of the log is of a server if its first argument is the label of one of its processes. A few
lines are kept even while no page is open: what a page is opened for has mostly happened before."""

import collections
import logging

from transports.fabric.messages import encode
from transports.fabric.text import hidden, log, printable, redacted

KEPT_LINES = 1000       # of all servers
LONGEST_LINE = 1000     # characters


class ServerLog(logging.Handler):
    """The last lines, from now on until it is closed. Any thread may call anything here."""

    def __init__(self, names):
        """`names()`: those of the servers."""
        super().__init__(logging.INFO)
        self._names = names
        self._kept = collections.deque(maxlen=KEPT_LINES)   # lines of JSON; protected by lock
        self._n = 0             # of the last one; likewise
        log.addHandler(self)

    def close(self):
        log.removeHandler(self)
        super().close()

    def emit(self, record):     # called by logging, with the lock held
        label = record.args[0] if isinstance(record.args, tuple) and record.args else None
        name = label.partition("#")[0] if isinstance(label, str) else None
        if name in self._names():
            is_stderr = record.threadName == f"{label}-stderr"
            self._keep(name, record.getMessage().removeprefix(f"{label}: "), record.created,
                       "stderr" if is_stderr else record.levelname.lower(), label)

    def _keep(self, name, text, when, level, label):
        text = redacted(hidden.texts, text, LONGEST_LINE)
        self._n += 1
        self._kept.append(encode({
            "n": self._n, "time": when, "server": name, "process": label, "level": level,
            "text": text if text.isprintable() else printable(text)}))

    def after(self, n):
        """(the lines after that with this number, as JSON; the number of the last one)."""
        with self.lock:
            new = min(self._n - n, len(self._kept))
            return [self._kept[at] for at in range(-new, 0)], self._n
