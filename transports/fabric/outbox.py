"""The queue between the threads that send to a peer and the one stream or pipe that leads to it.

Any thread may send, and none waits for the peer but the *feeder*, the one thread that feeds this
stream. A peer that falls too far behind is disconnected.

Waking the feeder costs more than all the rest of a message. So the sender writes it, if it gets
the *pen*, the right to write, nothing waits, and the write cannot block."""

import collections
import os
import select
import stat
import threading

from .messages import encode
from .peers import passing
from .text import log

CLOSE = object()  # what the feeder gets in the end

MAX_BEHIND_MESSAGES = 20_000
MAX_BEHIND_BYTES = 64 * 2**20
BATCH_BYTES = 2**16     # that the feeder gets at once, or one message

SENDER, FEEDER = "a sender", "the feeder"


def too_far_behind(messages, size):
    """Whether a peer gets no more, as so much waits for it. A message may have any size."""
    return messages >= MAX_BEHIND_MESSAGES or size > MAX_BEHIND_BYTES


class Outbox:
    """A bounded queue of encoded messages with one feeder, ended by CLOSE."""

    def __init__(self, name, on_behind=lambda: None):
        self.name = name
        self.on_behind = on_behind  # called once, when it is closed for that, or by a bug
        self.write_at_once = lambda data: False     # False if that could block, or has failed
        self.dropped = False    # whether anything came after it was closed
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)    # here the feeder waits
        # protected by _lock:
        self._pen = FEEDER      # who has it, or None; the feeder until it asks for its first batch
        self._waiting = collections.deque()     # the feeder's, as soon as the pen is free
        self._bytes = 0         # of the messages that wait
        self._closed = False

    # -- called by any thread

    def send(self, message):
        """Send a message to a client. Never blocks and never raises."""
        data = encode(message)
        if passing.watched:
            passing.observer.to_client(self.name, message, data)
        self.put(data)

    def put(self, data):
        """Send a message that is encoded already, to a client or a server."""
        with self._lock:
            if self._closed:
                self.dropped = True
                return
            self._closed = behind = too_far_behind(len(self._waiting), self._bytes)
            if not behind and (self._pen or self._waiting):
                self._waiting.append(data)
                self._bytes += len(data)
                return
            self._pen = self._pen if behind else SENDER
        if behind:
            log.warning("%s: closed, because it is %d messages (%d bytes) behind", self.name,
                        len(self._waiting), self._bytes)
            self.on_behind()
            return
        try:
            written = self.write_at_once(data)
        except Exception:  # a bug of ours: nobody knows how much of it went out
            log.exception("%s: closed, because a message could not be written", self.name)
            with self._lock:
                self._closed = written = True
            self.on_behind()
        with self._lock:
            self._pen = None
            if not written:
                self._waiting.appendleft(data)  # before the messages that came meanwhile
                self._bytes += len(data)
            if self._waiting or self._closed:
                self._news.notify()

    def close(self):
        """The feeder gets what is queued, and then CLOSE. May be called any number of times."""
        with self._lock:
            self._closed = True
            self._news.notify()

    # -- called by the feeder

    def get(self, seconds=None):
        """The next messages; [] if none come in time; CLOSE at the end. What it got is written."""
        with self._lock:
            if self._pen is FEEDER:
                self._pen = None
            if not self._news.wait_for(
                    lambda: not self._pen and (self._waiting or self._closed), seconds):
                return []
            self._pen = FEEDER
            found, size = [], 0
            while self._waiting and size < BATCH_BYTES:
                found.append(self._waiting.popleft())
                size += len(found[-1])
            self._bytes -= size
            return found or CLOSE


def feed_pipe(outbox, pipe):
    """Run by the feeder of a pipe: write each message as a line, until CLOSE. Raises OSError."""
    outbox.write_at_once = pipe_writer(pipe)
    while (found := outbox.get()) is not CLOSE:
        pipe.write(b"\n".join(found) + b"\n")
        pipe.flush()
        del found  # up to 64 MB, which would stay in memory until the next message


def pipe_writer(pipe):
    """An outbox's write_at_once for a pipe or a Unix socket: one that is ready takes PIPE_BUF
    bytes without blocking, in one piece (POSIX). Anything else, as a file, is the feeder's."""
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
            return False  # the feeder gets the same error, and handles it
        return True

    return write_at_once
