"""The log: the one place where text goes to standard error. It never blocks its caller: a line
that cannot be written at once is dropped and counted. It never shows a secret of the config or a
control character from outside."""

import functools
import logging
import os
import select
import sys
import threading

from transports.fabric.text import hidden, log, printable, redacted

STDERR = 2
CHUNK = getattr(select, "PIPE_BUF", 4096)   # bytes that a ready pipe takes at once (POSIX)


class Stderr(logging.Handler):
    """Standard error, for the log and for all else that a person is told. Any thread writes."""

    def __init__(self):
        super().__init__()
        self.setFormatter(logging.Formatter(
            "%(asctime)s %(levelname)s [%(threadName)s] %(message)s"))
        # That of a terminal: a window of Windows has another than UTF-8.
        self._encoding = os.device_encoding(STDERR) or "utf-8"
        # protected by the handler's lock:
        self._dropped = 0           # lines since the last one that was written
        self._in_line = False       # whether only a part of the last line was written

    def begin_log(self, level):
        """From now on the log of the whole program goes here."""
        logging.basicConfig(level=level.upper(), handlers=[self])
        logging.getLogger("waitress").setLevel("WARNING")
        # Python would write these past the log, secrets and all.
        threading.excepthook = lambda problem: _log_bug("this thread", *problem[:3])
        sys.excepthook = functools.partial(_log_bug, "it")  # after all that it had begun has ended

    def clean(self, text):
        """Text of several lines, with the secrets hidden and control characters escaped."""
        return "\n".join(printable(line) for line in redacted(hidden.texts, text).split("\n"))

    def show(self, text, whole=False):
        """Write text that is not a log line, as the table of the servers. `whole`: the user needs
        all of it, and it has no control characters."""
        with self.lock:
            self._write(text if whole else self.clean(text))

    def emit(self, record):     # called by logging, with the lock held
        text = self.format(record)
        # Only a traceback has several lines of ours; elsewhere a line break is from outside.
        self._write(self.clean(text) if record.exc_info
                    else printable(redacted(hidden.texts, text)))

    def _write(self, text):
        if self._dropped:
            text = f"({self._dropped} lines were dropped here: nobody read them)\n{text}"
        if self._in_line:
            text = f"\n{text}"
        rest = data = text.encode(self._encoding, "backslashreplace") + b"\n"
        try:
            while rest and _is_ready():
                rest = rest[os.write(STDERR, rest[:CHUNK]):]
        except OSError:
            pass  # closed, or its reader is gone: no more to be done than if it were full
        self._dropped = self._dropped + 1 if rest else 0
        if len(rest) < len(data):
            self._in_line = bool(rest)


def _log_bug(what, kind, *problem):
    if kind is not SystemExit:
        log.error("a bug in the router has ended %s", what, exc_info=(kind, *problem))


def _is_ready():
    """Whether stderr can take CHUNK bytes now. A file always can; Windows cannot say."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(STDERR, select.POLLOUT)
    return bool(poll.poll(0))


def replace_closed_files():
    """Open the null device in place of a closed stdin, stdout or stderr. Else the next pipe or
    socket would get its number, and a stray line would end up there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
