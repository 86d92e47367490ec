"""What a legacy server says of its own accord: one GET whose answer is a stream without an end.

In Streamable HTTP it may be missing, and is opened again whenever it breaks. In HTTP+SSE of
2024-11-05 it carries all that the server says, answers too; its first event says where to post; if
it breaks, the session is over."""

import logging
import threading
import time

from transports.fabric.gather import GrowingPause
from transports.fabric.text import log

from .connection import HttpFailed
from .event_stream import EventStream
from .message_post import EVENTS, LASTS

OPEN_SECONDS = 1.5                  # that calls wait for the first one, at most
PAUSE, LONGEST_PAUSE = 1.0, 60.0    # seconds before the stream is opened again
MISSING = 200, 202, 204, 404, 405, 501  # what says, without a stream, that there is none
ENDPOINT_SECONDS = 10.0             # for the first event of HTTP+SSE


class ServerStream:
    """The stream of one Remote. `run` or `run_old` is the work of NAME-stream."""

    def __init__(self, remote):
        self.is_old = False     # whether it is HTTP+SSE, and we know where to post
        self._remote = remote
        # Calls wait until the server has answered the first GET, with a stream or without: some
        # servers drop what they ask during a call if there is no stream yet.
        self.answered = threading.Event()
        self.answered.set()

    def announce(self):
        """`initialized` is about to be sent. Requests wait until it was accepted: a POST may
        overtake."""
        self._remote.ready.clear()
        if not self.is_old:
            self.answered.clear()
        if self._remote.closing.is_set():   # `hold_up_nobody` was perhaps called before
            self.hold_up_nobody()

    def begin(self, clock):
        """`initialized` was accepted, or will not be. Some servers send no header of the answer
        to the GET before the first event: calls wait for a while only."""
        remote = self._remote
        if not self.is_old and not remote.closing.is_set():
            remote.start_stream(self.run)
            clock.after(OPEN_SECONDS, self.answered.set)
        remote.ready.set()

    def hold_up_nobody(self):
        """The connection closes."""
        self._remote.ready.set()
        self.answered.set()

    def get(self, wire, last_id=b""):
        """Open a stream, or resume it. Raises HttpFailed."""
        headers = [("Accept", EVENTS), *self._remote.message_headers.legacy()]
        if last_id:
            headers.append(("Last-Event-ID", last_id))
        wire.ask("GET", self._remote.origin.target, headers, kinds=[EVENTS])

    def run(self, wire):
        """The stream of Streamable HTTP, over as many connections as that takes."""
        remote, events = self._remote, EventStream(self._remote.longest)
        pause = GrowingPause(PAUSE, LONGEST_PAUSE)
        while not remote.closing.is_set():
            began, self._has_news, least = time.monotonic(), False, 0
            try:
                self._read(wire, events)
            except HttpFailed as problem:
                remote.failed(problem)
                if self._is_missing(problem):
                    return
                least = problem.pause or 0
                log.debug("%s: its stream broke: %s", remote.label, remote.redact(str(problem)))
            wire.let_go()
            if self._has_news or time.monotonic() - began > LASTS:
                pause.reset()
            seconds = pause.next()
            if events.retry is not None:
                seconds = events.retry if self._has_news else max(events.retry, seconds)
            remote.closing.wait(max(seconds, least))

    def _read(self, wire, events):
        """What comes on one connection."""
        try:
            self.get(wire, events.last_id)
        finally:
            self.answered.set()
        for kind, data, whole in events.events(wire.pieces()):
            if kind == b"message" and data != b"":  # which would only tell an id
                self._has_news = True
                self._remote.take_in(data, whole=whole)

    def _is_missing(self, problem):
        """Whether there is no such stream."""
        if problem.status not in MISSING:
            return False
        level = logging.DEBUG if problem.status == 405 else logging.INFO
        log.log(level, "%s: has no stream for what it says of its own accord: %s",
                self._remote.label, self._remote.redact(str(problem)))
        return True

    def names_endpoint(self, problem):
        """How a sentence about this HttpFailed begins, if it is about what HTTP+SSE has named."""
        remote = self._remote
        return f"names {remote.origin.url_of(remote.post_target)} as its endpoint, which " \
            if self.is_old and problem.status else ""

    def becomes_old(self, problem):
        """Whether the server speaks HTTP+SSE of 2024-11-05 (2025-11-25, Transports, Backwards
        Compatibility), since it answered `initialize` with this Problem. Waits to know."""
        remote = self._remote
        if remote.entry.type is not None or self.is_old or problem.body is not None \
                or problem.status not in (400, 404, 405):
            return False
        remote.ready.clear()
        remote.start_stream(self.run_old)
        remote.ready.wait()
        return self.is_old

    def run_old(self, wire):
        """The stream of HTTP+SSE."""
        remote = self._remote
        try:
            if not remote.closing.is_set():
                self._read_old(wire)
            reason = "closed its stream"
        except HttpFailed as problem:
            reason = str(problem)
            if remote.entry.type == "sse":
                remote.failed(problem)
        if self.is_old or remote.entry.type == "sse":   # else it is of another kind
            remote.end(reason)
        remote.ready.set()

    def _read_old(self, wire):
        remote = self._remote
        self.get(wire)
        found = EventStream(remote.longest).events(wire.pieces())
        with wire.within(ENDPOINT_SECONDS, "named no endpoint"):
            endpoint = next((data for kind, data, _ in found if data and kind == b"endpoint"),
                            None)
            if endpoint is None:
                return
            remote.post_target = remote.origin.target_of(endpoint.decode("utf-8", "replace"),
                                                         remote.origin.target)
        self.is_old = True
        remote.ready.set()
        for kind, data, whole in found:
            if kind == b"message":
                remote.take_in(data, whole=whole)
