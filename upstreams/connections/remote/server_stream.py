"""What a legacy server says of its own accord: one GET whose answer is a stream without an end.

There are two kinds. In Streamable HTTP it may be missing, and is opened again whenever it breaks.
In HTTP+SSE of 2024-11-05 it carries everything that the server says, answers too; its first event
says where to post; if it breaks, the session is over.
"""

import logging
import time

from transports.fabric.pause import GrowingPause

from .connection import HttpFailed, Unreachable
from .event_stream import EventStream
from .message_post import EVENTS, LASTS
from .problem import problem_of

log = logging.getLogger("router")

PAUSE, LONGEST_PAUSE = 1.0, 60.0    # seconds before the stream is opened again
MISSING = 404, 405, 501             # HTTP errors that say that there is none
ENDPOINT_SECONDS = 10.0             # for the first event of HTTP+SSE


class ServerStream:
    """The stream of one Remote. `run` or `run_old` is the work of NAME-stream."""

    def __init__(self, remote):
        self.is_old = False     # whether it is HTTP+SSE, and we know where to post
        self._remote = remote

    def get(self, wire, last_id=b""):
        """Open a stream, or resume it. Raises HttpFailed."""
        headers = [("Accept", EVENTS), *self._remote.message_headers.legacy()]
        if last_id:
            headers.append(("Last-Event-ID", last_id))
        wire.ask("GET", self._remote.origin.target, headers)

    def run(self, wire):
        """The stream of Streamable HTTP, over as many connections as that takes."""
        remote, events = self._remote, EventStream(self._remote.longest)
        pause = GrowingPause(PAUSE, LONGEST_PAUSE)
        while not remote.closing.is_set():
            began, self._has_news = time.monotonic(), False
            try:
                least = self._read(wire, events)
            except HttpFailed as problem:
                log.debug("%s: its stream broke: %s", remote.label, remote.redact(str(problem)))
                least = 0
            wire.let_go()
            if least is None:
                return
            if self._has_news or time.monotonic() - began > LASTS:
                pause.reset()
            seconds = pause.next()
            if events.retry is not None:
                seconds = events.retry if self._has_news else max(events.retry, seconds)
            remote.closing.wait(max(seconds, least))

    def _read(self, wire, events):
        """What comes on one connection. Returns the seconds to wait at least before the next one;
        None if there is no such stream."""
        remote = self._remote
        self.get(wire, events.last_id)
        if wire.kind() != EVENTS:
            problem = problem_of(wire, remote.message_headers.session)
            if problem.forgotten:
                remote.is_refused(problem)
            elif problem.status not in MISSING:
                log.debug("%s: its stream: %s", remote.label, remote.redact(problem.text))
                return problem.pause or 0
            elif problem.status != 405:
                log.info("%s: has no stream for what it says of its own accord: %s", remote.label,
                         remote.redact(problem.text))
            return None
        for kind, data, whole in events.events(wire.pieces()):
            self._has_news = True
            if kind == b"message" and data != b"":  # which would only tell an id
                remote.take_in(data, whole=whole)
        return 0

    def run_old(self, wire):
        """The stream of HTTP+SSE."""
        remote = self._remote
        try:
            if not remote.closing.is_set():
                self._read_old(wire)
            reason = "closed its stream"
        except Unreachable as problem:
            reason = f"cannot be reached: {problem}"
        except HttpFailed as problem:
            reason = str(problem)
        if self.is_old or remote.entry.type == "sse":
            remote.end(reason)
        remote.ready.set()

    def _read_old(self, wire):
        remote, events = self._remote, EventStream(self._remote.longest)
        self.get(wire)
        if wire.kind() != EVENTS:
            problem = problem_of(wire)
            if remote.entry.type == "sse":  # else it may be of another kind
                remote.is_refused(problem)
            raise HttpFailed(problem.text)
        found = events.events(wire.pieces())
        with wire.within(ENDPOINT_SECONDS, "named no endpoint"):
            for kind, data, _ in found:
                if kind == b"endpoint" and data:
                    self._learn_endpoint(data)
                    break
        for kind, data, whole in found:
            if kind == b"message":
                remote.take_in(data, whole=whole)

    def _learn_endpoint(self, data):
        remote = self._remote
        remote.post_target = remote.origin.target_of(data.decode("utf-8", "replace"),
                                                     remote.origin.target)
        self.is_old = True
        remote.ready.set()
