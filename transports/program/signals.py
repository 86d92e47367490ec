"""How the program is told to end: a signal once for a clean end, a second one for an end at once.

Python runs signal handlers in the main thread, at whatever line that has reached. So the first
signal raises SystemExit only while the main thread waits, which the code says: `with
interruptible`. A signal at any other moment is remembered until the main thread waits the next
time: no message is left half sent, and no server half started.
"""

import contextlib
import os
import signal
import threading
import time

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl+C, and what service managers and hosts send
WAKE = getattr(signal, "SIGURG", None)     # of no other use to us; not there on Windows
END = b"\0"


class _Interruptible:
    """A context manager for the main thread, around the calls in which it waits."""

    waiting = ending = _raised = False   # `ending`: whether a signal has come

    def __enter__(self):
        self.waiting = True
        self.end_if_told()      # by a signal that came before

    def __exit__(self, *_problem):
        self.waiting = False

    def end_if_told(self):
        """Raises SystemExit, once, if a signal has come and the main thread waits."""
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
        interruptible.ending = True
        interruptible.end_if_told()

    def at_once(_signal, _frame):
        os._exit(130)  # the guardian process sees it, and ends the servers

    for number in SIGNALS:
        signal.signal(number, end)
    # A terminal that is closed sends SIGHUP; not there on Windows. `nohup` has it ignored.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, end)


@contextlib.contextmanager
def signals_wake_the_main_thread():
    """Meanwhile the main thread takes note of a signal, whichever thread the system gives it to.

    Python would run its handler only when the main thread has waited to the end for what it waits
    for. But Python writes the number of each signal to a pipe at once. The thread `signals` reads
    that pipe, and interrupts the main thread with a signal of its own.
    """
    if WAKE is None:
        yield
        return
    source, sink = os.pipe()
    os.set_blocking(sink, False)    # as Python wants it
    main, woken = threading.get_ident(), []
    signal.signal(WAKE, lambda _signal, _frame: woken.append(True))

    def wake():
        while (number := os.read(source, 1)) != END:
            if number[0] == WAKE:
                continue
            woken.clear()
            while not woken:    # the first may come just before it begins to wait
                signal.pthread_kill(main, WAKE)
                time.sleep(0.05)

    thread = threading.Thread(target=wake, name="signals", daemon=True)
    thread.start()
    signal.set_wakeup_fd(sink, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        os.write(sink, END)
        thread.join()
        os.close(source)
        os.close(sink)


def end_ourselves():
    """Do what a first signal does, from any thread. Nothing happens if one has come before."""
    if not interruptible.ending:
        os.kill(os.getpid(), signal.SIGTERM)
