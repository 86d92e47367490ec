"""How the program is told to end: a signal once for a clean end, a second one for an end at once.

Python runs signal handlers in the main thread, wherever that is. So the first signal raises
SystemExit only `with interruptible`, where the main thread waits, and is remembered until then: no
message is left half sent, and no server half started."""

import contextlib
import os
import signal
import threading
import time

# Ctrl+C, what service managers and hosts send, and Ctrl+Break, which is all they can on Windows
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK")
                if hasattr(signal, name))
WAKE = getattr(signal, "SIGURG", None)     # of no other use to us; not there on Windows


class _Interruptible:
    """A context manager for the main thread, around the calls in which it waits."""

    waiting = ending = _raised = False   # `ending`: whether a signal has come

    def __enter__(self):
        self.waiting = True
        if self.ending:     # by a signal that came before
            self.end_if_told()

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

    def end(number, _frame):
        if interruptible.ending and number in SIGNALS:
            os._exit(130)  # the guardian process sees it, and ends the servers
        interruptible.ending = True
        interruptible.end_if_told()

    for number in SIGNALS:
        signal.signal(number, end)
    # A terminal that is closed sends SIGHUP; not there on Windows. `nohup` has it ignored.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, end)


@contextlib.contextmanager
def signals_wake_the_main_thread():
    """Meanwhile the main thread takes note of a signal, whichever thread the system gives it to:
    Python would run the handler after what the main thread waits for. But it writes each signal's
    number to a pipe at once; the thread `signals` reads it, and interrupts the main thread."""
    if WAKE is None:
        yield
        return
    source, sink = os.pipe()
    os.set_blocking(sink, False)    # as Python wants it
    main, woken = threading.get_ident(), threading.Event()
    signal.signal(WAKE, lambda _signal, _frame: woken.set())

    def wake():
        with open(source, "rb", buffering=0) as numbers:
            while number := numbers.read(1):
                woken.clear()
                # Again and again, as one may come just before the main thread begins to wait.
                while number[0] != WAKE and not woken.is_set():
                    signal.pthread_kill(main, WAKE)
                    time.sleep(0.05)

    thread = threading.Thread(target=wake, name="signals", daemon=True)
    thread.start()
    signal.set_wakeup_fd(sink, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        os.close(sink)
        thread.join()


def end_ourselves():
    """Do what a first signal does, from any thread. Nothing happens if one has come before."""
    if interruptible.ending:
        return
    if WAKE is None:    # os.kill would end us without a handler on Windows
        signal.raise_signal(signal.SIGTERM)
    else:
        os.kill(os.getpid(), signal.SIGTERM)
