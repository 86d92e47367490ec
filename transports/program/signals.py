"""How the program is told to end: a signal once for a clean end, a second one for an end at once.

Python runs signal handlers in the main thread, at whatever line it has reached. So the first
signal raises SystemExit only while this thread waits, which the code says: `with interruptible`.
At any other moment it is remembered until the thread waits the next time: no message is left
half sent, no server half started, and nothing of the end is left out.
"""

import os
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl+C, and what service managers and hosts send


class _Interruptible:
    """A context manager for the main thread, around the calls in which it waits."""

    def __init__(self):
        self.waiting = False
        self.ending = False     # whether a signal has come
        self._raised = False

    def __enter__(self):
        self.waiting = True
        self._end_if_told()     # by a signal that came before, see _signal for the ones to come

    def __exit__(self, *_problem):
        self.waiting = False

    def _signal(self):
        """A signal has come. Called by its handler."""
        self.ending = True
        self._end_if_told()

    def _end_if_told(self):
        if self.waiting and self.ending and not self._raised:
            self._raised, self.waiting = True, False
            raise SystemExit


interruptible = _Interruptible()


def end_on_signals():
    """From now on the first signal ends the program cleanly, and the second at once."""
    interruptible.ending = interruptible._raised = False

    def end(_signal, _frame):
        for number in SIGNALS:
            signal.signal(number, at_once)
        interruptible._signal()

    def at_once(_signal, _frame):
        os._exit(130)  # the guardian process sees it, and ends the servers

    for number in SIGNALS:
        signal.signal(number, end)
    # A terminal that is closed sends SIGHUP; not there on Windows. `nohup` has it ignored.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, end)


def end_ourselves():
    """Do what a first signal does, from any thread. Nothing happens if one has come before."""
    if not interruptible.ending:
        os.kill(os.getpid(), signal.SIGTERM)
