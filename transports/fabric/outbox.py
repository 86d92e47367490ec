"""The queue between those who send to a peer and the one stream or pipe that leads to it.

Any thread may send; nobody ever waits for the peer except the one thread that feeds the stream:
blocking on a slow client would stop the thread that reads a server, and with it everybody who
uses that server. So who is too far behind is closed instead, once.

Waking a thread costs more than all else that a message needs. So whoever sends a message also
writes it, where nothing is in its way: nobody else is writing, nothing waits in the queue, and
the write cannot block. Whoever writes holds the pen. There is one, so the order is kept:

    a sender    takes it if it is free, writes one message, and lays it down again; or hands it to
                the feeder, if the message could not be written, or something waits by now
    the feeder  writes what waits, batch after batch, and lays it down when nothing does
"""

import collections
import logging
import os
import queue
import select
import stat
import threading

from .messages import encode

log = logging.getLogger("router")

CLOSE = object()  # what the feeder gets in the end

MAX_BEHIND_MESSAGES = 20_000
MAX_BEHIND_BYTES = 64 * 2**20
BATCH_BYTES = 2**16     # that the feeder gets at once, or one message


class Outbox:
    """A bounded queue of encoded messages with one feeder, ended by CLOSE."""

    def __init__(self, name, on_behind=lambda: None):
        self.name = name
        self.on_behind = on_behind  # called once, when it is closed for being too far behind
        # write_at_once(message as bytes) → True, or False where that could block or failed.
        self.write_at_once = lambda data: False
        self._pen = queue.SimpleQueue()  # through which the feeder is given it
        self._lock = threading.Lock()
        # protected by _lock:
        self._free = False      # whether nobody holds the pen
        self._feeding = True    # whether the feeder does, from when it has come through _pen
        self._waiting = collections.deque()
        self._bytes = 0         # of what waits
        self._closed = False

    # -- called by any thread

    def send(self, message):
        """Never blocks and never raises."""
        self.put(encode(message))

    def put(self, data):
        """Send a message that is encoded already."""
        with self._lock:
            if self._closed:
                return
            mine, self._free = self._free, False
            if not mine:
                # Judged before this message is added: a single one may have any size.
                behind = (len(self._waiting) >= MAX_BEHIND_MESSAGES
                          or self._bytes > MAX_BEHIND_BYTES)
                if not behind:
                    self._waiting.append(data)
                    self._bytes += len(data)
                    return
                self._closed = True
        if not mine:
            log.warning("%s: closed, because it is %d messages (%d bytes) behind",
                        self.name, len(self._waiting), self._bytes)
            self.on_behind()
            return
        written = self.write_at_once(data)
        with self._lock:
            if not written:
                self._waiting.appendleft(data)  # before what came meanwhile
                self._bytes += len(data)
            self._free = not self._waiting and not self._closed
            if not self._free:
                self._pen.put(None)

    def close(self):
        """Let the feeder end after what is queued. Any number of times."""
        with self._lock:
            self._closed = True
            if self._free:
                self._free = False
                self._pen.put(None)

    # -- called by the feeder

    def get(self, seconds=None):
        """The next messages, a list of bytes; [] if none come in time; CLOSE at the end.

        Whatever it got before is written by now.
        """
        with self._lock:
            if self._feeding and not self._waiting and not self._closed:
                self._feeding, self._free = False, True
            feeding = self._feeding
        if not feeding:
            try:
                self._pen.get(timeout=seconds)
            except queue.Empty:
                return []
        with self._lock:
            self._feeding = True
            found, size = [], 0
            while self._waiting and size < BATCH_BYTES:
                found.append(self._waiting.popleft())
                size += len(found[-1])
            self._bytes -= size
            return found or CLOSE


def feed_pipe(outbox, pipe):
    """The feeder of a pipe: write what comes, a line each, until CLOSE. Raises OSError when nobody
    reads it any more."""
    outbox.write_at_once = pipe_writer(pipe)
    while (found := outbox.get()) is not CLOSE:
        pipe.write(b"\n".join(found) + b"\n")
        pipe.flush()
        del found  # the next one may be long in coming


def pipe_writer(pipe):
    """For write_at_once: writes a line to a pipe or a Unix socket, if that can take it now.

    A pipe that is ready takes PIPE_BUF bytes without blocking, and those in one piece (POSIX).
    """
    descriptor = pipe.fileno()
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)) or not hasattr(select, "poll"):
        return lambda data: False
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)

    def write_at_once(data):
        if len(data) >= select.PIPE_BUF or not poll.poll(0):
            return False
        try:
            os.write(descriptor, data + b"\n")
        except OSError:
            return False  # its thread will meet the same, and knows what to do then
        return True

    return write_at_once
