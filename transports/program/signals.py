"""How the program is told to end: a signal once for a clean end, a second one for an end at once.

Both work in the main thread, because Python runs signal handlers there. SystemExit is raised at
the line that this thread has reached, in most cases while it reads stdin or waits for sockets. It
is held back while the thread handles a message, or starts or ends servers: an outbox that is
interrupted in the middle of a put would never end, and a server that is half started would be
known to nobody.
"""

import os
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl+C, and what service managers and hosts send


class _Undisturbed:
    """A context manager for the main thread: a signal's SystemExit waits for its end."""

    def __init__(self):
        self.busy = self.wanted = False
        self.ending = False     # whether a signal has come

    def __enter__(self):
        self.busy = True

    def __exit__(self, *_problem):
        self.busy = False
        if self.wanted:
            self.wanted = False
            raise SystemExit


undisturbed = _Undisturbed()


def end_on_signals():
    """From now on a signal raises SystemExit in the main thread."""

    def end(_signal, _frame):
        undisturbed.ending = True
        for number in SIGNALS:
            signal.signal(number, at_once)
        if undisturbed.busy:
            undisturbed.wanted = True
        else:
            raise SystemExit

    def at_once(_signal, _frame):
        os._exit(130)  # the guardian process sees it, and ends the servers

    for number in SIGNALS:
        signal.signal(number, end)


def end_ourselves():
    """Do what a first signal does, from any thread. Nothing happens if one has come before."""
    if not undisturbed.ending:
        os.kill(os.getpid(), signal.SIGTERM)
