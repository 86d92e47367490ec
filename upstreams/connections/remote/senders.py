"""Threads that talk to a remote server, one message at a time, each on a wire of its own."""

import math
import queue
import threading

from transports.fabric.text import log

MOST_FREE = 10          # of one Senders that wait for a message
MOST_THREADS = 2000     # of the whole program, beyond which no Sender is added


class Sender:
    """One thread. `start` it once: RuntimeError if the system has none left. `put` from any
    thread: it calls job(wire) when it is free, and ends when it finds None. on_bug() is called if
    a bug of ours ends it before."""

    def __init__(self, name, wire, on_bug, when_free=lambda sender: None):
        self.wire, self._on_bug, self._when_free = wire, on_bug, when_free
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._jobs = queue.SimpleQueue()
        self.start, self.put = self.thread.start, self._jobs.put

    def _work(self):
        try:
            while job := self._jobs.get():
                self.wire.begin(job)
                job(self.wire)
                self.wire.end()
                del job     # which may be large
                self._when_free(self)
        except Exception:
            self._on_bug()
            raise   # into the log
        finally:
            self.wire.close()


class Senders:
    """As many as there are messages under way, up to `most`. Any thread may call anything here."""

    def __init__(self, name, new_wire, on_bug, most):
        self._name, self._new_wire, self._on_bug, self._most = name, new_wire, on_bug, most
        self._lock = threading.Lock()
        # protected by _lock:
        self._all, self._free = set(), []   # the one that was used last is the last
        self._begun = 0                     # ever: for their names
        self._closed = False

    def put(self, job, most=math.inf):
        """Have one of them call job(wire) now; False if there is none for it, or as many as `most`
        have something to do."""
        with self._lock:
            is_full = self._closed or len(self._all) - len(self._free) >= most
            sender = None if is_full else self._free.pop() if self._free else self._one_more()
        if sender:
            sender.put(job)
        return bool(sender)

    def all(self):
        with self._lock:
            return list(self._all)

    def close(self):
        """They end after what they do now."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        for sender in free:
            sender.put(None)

    def _one_more(self):
        """Requires _lock. It only starts a thread."""
        if len(self._all) >= self._most or threading.active_count() >= MOST_THREADS:
            return None
        self._begun += 1
        sender = Sender(f"{self._name}-{self._begun}", self._new_wire(), self._on_bug,
                        self._is_free)
        try:
            sender.start()
        except RuntimeError:
            log.warning("%s: the system has no thread left for it", self._name)
            return None
        self._all.add(sender)
        return sender

    def _is_free(self, sender):
        with self._lock:
            stays = len(self._free) < MOST_FREE and not self._closed
            if stays:
                self._free.append(sender)
            elif not self._closed:  # else it is joined
                self._all.discard(sender)
        if not stays:
            sender.put(None)
