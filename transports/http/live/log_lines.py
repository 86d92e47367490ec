"""The last lines of the router's log, for the page: why a server ended, what it wrote to stderr,
what on its stdout was no message.

They are kept from the start on, since what matters most has often happened before a page opens."""

import collections
import logging

from transports.fabric.text import hidden, log, printable, redacted

KEPT_LINES = 500
LONGEST_LINE = 1000     # characters


class LogLines(logging.Handler):
    """Any thread. `names()` has the names of the servers."""

    def __init__(self, names):
        super().__init__(logging.INFO)
        self._names = names
        # protected by the handler's lock:
        self._n = 0                 # of the last line
        self._lines = collections.deque(maxlen=KEPT_LINES)
        log.addHandler(self)

    def emit(self, record):     # called by logging, with the lock held
        server, text = self._server_of(record), record.getMessage()
        if server:  # it has a place of its own
            text = text.removeprefix(f"{record.args[0]}: ")
        self._n += 1
        self._lines.append({
            "n": self._n, "time": record.created, "level": record.levelname.lower(),
            "server": server, "text": printable(redacted(hidden.texts, text, LONGEST_LINE))})

    def _server_of(self, record):
        """The server that the line is about: lines name it, or a process of it, first."""
        first = record.args[0] if isinstance(record.args, tuple) and record.args else None
        name = first.split("#")[0] if isinstance(first, str) else None
        return name if name in self._names() else None

    def after(self, n):
        """The lines since the one with this number."""
        with self.lock:
            return [line for line in self._lines if line["n"] > n]

    def close(self):
        log.removeHandler(self)
        super().close()
