"""How the program is told to end: a signal once for a clean end, a second one for an end at once.

Both work in the main thread, which is where Python runs signal handlers: SystemExit is raised
wherever that thread is, reading our stdin or waiting for sockets; but not while it deals with a
message, or starts servers, or ends them: a queue that is left in the middle of a put would never
end, and nobody would know of a server that is half started.
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
    """What a signal does, from any thread; nothing, if one has come: it would be the second."""
    if not undisturbed.ending:
        os.kill(os.getpid(), signal.SIGTERM)
