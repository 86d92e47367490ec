"""The files of the config may change while the program runs. The thread `reload` looks.

The new config is checked before anything is touched; if it is wrong, the log says what, and the
old one stays. Editors write a file anew in several steps, and some empty it first. So a file
counts as changed when it has stayed as it is since the look before. What cannot be used, and a
file that is missing or empty, is looked at once more, after the whole pause, before anything
follows of it."""

import functools
import os
import queue
import signal
import threading

from transports.fabric.text import log
from transports.program.signals import end_ourselves
from upstreams.config.reading import ConfigError, stamp_of

LOOK = 2.0          # seconds between two looks
SOON = 0.25         # the same, after a look that saw a change
NOW, END = "now", "end"


class Watch:
    """Reads the config again, by `load()`, and gives it to use(config): when a file has changed,
    if it `looks`, and when it is told to. The thread `reload` lives while the context does."""

    def __init__(self, config, load, use, looks=True):
        self._seen = self._last = config.files      # when it was read, and when we looked last
        self._load, self._use = load, use
        self._seconds = LOOK if looks else None
        self._soon = False          # whether the next look is to come soon
        self._refused = None        # the files that could not be used, if nobody was told yet
        self._told = queue.SimpleQueue()    # its put is safe in a signal handler
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    def read_again(self):
        self._told.put(NOW)

    def do(self, function, *arguments):
        """The thread calls this, between two looks."""
        self._told.put(functools.partial(function, *arguments))

    def __enter__(self):
        self._thread.start()
        read_again_on_hangup(self.read_again)
        return self

    def __exit__(self, *_problem):
        self._told.put(END)
        self._thread.join()

    def _run(self):
        while (told := self._wait()) is not END:
            try:
                if callable(told):
                    told()
                elif told is NOW or self._has_changed():
                    self._read(at_once=told is NOW)
            except Exception:  # a bug of ours in one reload must not stop those that follow
                log.exception("the config could not be read again, or not be changed")

    def _wait(self):
        try:
            return self._told.get(timeout=SOON if self._soon else self._seconds)
        except queue.Empty:
            return None

    def _stamps(self):
        return {path: stamp_of(path) for path in self._seen}

    def _has_changed(self):
        """Whether a file is another than the one that was read, and was so at the last look."""
        before, self._last = self._last, self._stamps()
        new = [stamp for path, stamp in self._last.items() if stamp != before.get(path)]
        self._soon = bool(new) and all(stamp and stamp.size for stamp in new)
        return self._last != self._seen and not new

    def _read(self, at_once=False):
        """`at_once`: what is wrong is told now, and not only if it is so at the next look too."""
        known, files = self._seen, self._stamps()
        try:
            config = self._load()
            self._seen = self._last = config.files
            self._use(config)
        except ConfigError as problem:
            files = {**files, **problem.files}  # one of these may be mended
            if at_once or files == self._refused:
                log.error("the config cannot be used, and the one before stays: %s", problem)
                known = self._last = files
            self._seen, self._refused = known, files


def read_again_on_hangup(read_again):
    """From now on SIGHUP calls read_again(), in the main thread, at whatever line it has reached.

    A terminal that is closed sends the same signal to the programs in it. Then we end, unless we
    were started to survive that (nohup)."""
    if not hasattr(signal, "SIGHUP"):  # Windows
        return
    ends = _has_terminal() and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    signal.signal(signal.SIGHUP, lambda _signal, _frame: end_ourselves()
                  if ends and not _has_terminal() else read_again())


def _has_terminal():
    """Whether a terminal controls us."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
