"""One server, as its only client: us. Its start, its requests, its messages, its end.

Nothing here waits. Requests leave through the connection's inbox; what the server says
arrives in `receive`, called by the connection's reader thread, and goes straight on to whoever
it is for: the table of pending requests knows the way.
"""

import contextlib
import functools
import itertools
import logging
import threading
import time

from transports.fabric.messages import (LATEST, RESPONSE, REVISIONS, SERVER_UNAVAILABLE,
                                        InvalidMessage, Refused, error, kind_of, notification,
                                        request)
from transports.fabric.pending import Calls, PendingRequests, cancel_notification
from transports.fabric.text import printable
from upstreams.connections.process import StartFailed

from .audience import CHANGED, Audience
from .catalog import LISTS, TASKS, Catalog
from .gather import LIST_SECONDS, Gather, Pages

log = logging.getLogger("router")

STARTING, RUNNING, FAILED, CLOSING = "starting", "running", "failed", "closing"

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 60.0   # seconds before a server is started again


class Upstream:
    """Our client half of one server.

    `connect()` makes a connection: an object with start(on_message, on_closed), send(message),
    close(), join(seconds) and last_lines(). `client` is what we say of ourselves in initialize,
    {"clientInfo": …, "capabilities": …}; `owner` is the one session it works for, if it is not
    shared.
    """

    def __init__(self, entry, connect, clock, client, owner=None):
        self.name = entry.name
        self.entry = entry
        self.catalog = Catalog(entry.prefix, entry.hides)
        self.state = STARTING
        self.problem = None             # why it is not running, in a sentence
        self.info = {}                  # its answer to initialize, whole
        self.seconds_to_start = None
        self.restarts = 0
        self.connection = None
        self.audience = Audience(self, owner)
        self.asked_for_roots = False
        self.calls = Calls(self)        # what the server asked and nobody answered yet
        self.pending = PendingRequests()
        self._ids = itertools.count(1)  # one counter for all lives of the server
        self._connect, self._clock, self._client = connect, clock, client
        self._lock = threading.Lock()
        self._failures = 0              # in a row: since it was last healthy
        # protected by _lock:
        self._when_settled = []
        self._settled = False
        self._watching = False          # whether _watch is going to be called

    @property
    def capabilities(self):
        """What the server said it can do; {} while it is not running."""
        capabilities = self.info.get("capabilities") if self.state == RUNNING else None
        return capabilities if isinstance(capabilities, dict) else {}

    # -- called by any thread

    def start(self):
        """Start the process and send `initialize`; `when_settled` tells how that went."""
        with self._lock:
            if self.state == CLOSING:
                return
            self.state, self._settled = STARTING, False
        self._started = time.monotonic()
        # In this order: `request` reads them in the other, so a new table never meets an old
        # connection; an old table is closed.
        self.connection = self._connect()
        self.pending, self.calls = PendingRequests(self._ids), Calls(self)
        self._deadline = self._clock.after(self.entry.start_timeout, self._too_slow)
        try:
            self.connection.start(self.receive, self._closed)
        except StartFailed as problem:
            self._failures = self.entry.restart_attempts  # trying again would not help
            self._closed(str(problem))
        else:
            # Lifecycle, Initialization: we offer the newest revision that we know.
            with contextlib.suppress(Refused):  # it has ended already, and _closed has told so
                self._ask(self.pending, self.connection,
                          request("initialize", {"protocolVersion": LATEST, **self._client}),
                          _Then(self._initialized))
        if self.state == CLOSING:  # since we looked: close() may have seen the connection before
            self.connection.close()

    def request(self, message, reply_to, call=None):
        """Pass a request on; reply_to.send(response) gets the answer, under the asker's id.

        `call` is the Call on whose behalf, so that its end is told to the server. Raises Refused
        when the server is not running.
        """
        pending, connection = self.pending, self.connection
        if self.state == STARTING:
            raise Refused(SERVER_UNAVAILABLE, f'server "{self.name}" is still starting')
        self._ask(pending, connection, message, reply_to, call)

    def _ask(self, pending, connection, message, reply_to, call=None):
        sent = pending.add(message, reply_to, call)
        connection.send(sent)
        if call:
            call.passed_on(self, sent["id"])
            if self.entry.timeout:
                self._watch_again()

    def send(self, message):
        """Send a response or a notification as it is."""
        self.connection.send(message)

    def withdraw(self, our_id, reason):
        """The request that we sent under our id is not wanted any more."""
        if self.pending.take(our_id):
            self.send(cancel_notification(our_id, reason))

    def when_settled(self, function):
        """Call function() once the server has started or failed to: now, if it has already."""
        with self._lock:
            if not self._settled:
                self._when_settled.append(function)
                return
        function()

    def close(self):
        """Begin to end the server; wait_closed waits for it."""
        with self._lock:
            self.state = CLOSING
        if self.connection:
            self.connection.close()

    def ended(self):
        """Whether nothing is left of it."""
        return self.state in (FAILED, CLOSING) and self.wait_closed(0)

    def last_lines(self):
        """The last lines of its stderr, oldest first."""
        return self.connection.last_lines() if self.connection else []

    def wait_closed(self, seconds):
        return self.connection is None or self.connection.join(seconds)

    # -- called by the connection's reader thread

    def receive(self, message):
        """Whatever the server said. Raises InvalidMessage where it is no JSON-RPC."""
        if isinstance(message, list):  # a batch: allowed in 2025-03-26
            for one in message:
                try:
                    self.receive(one)
                except InvalidMessage as problem:
                    log.warning("%s: skipped a part of a batch: %s", self.name, problem)
        elif kind_of(message) is RESPONSE:
            if not self.pending.answer(message):
                log.debug("%s: an answer that nobody waits for was dropped", self.name)
        else:
            for method in CHANGED.get(message["method"], ()):
                self.catalog.forget(method)
            self.audience.hear(message)

    # -- starting and ending: called by the reader, the clock, or whoever waits for the process

    def _initialized(self, response):
        answer = response.get("result")
        if not isinstance(answer, dict):
            problem = response.get("error")
            return self._give_up("refused to initialize: " + str(
                problem.get("message") if isinstance(problem, dict) else "it sent no result"))
        if answer.get("protocolVersion") not in REVISIONS:
            return self._give_up(f"speaks revision {answer.get('protocolVersion')!r} of MCP; this "
                                 f"router knows {', '.join(REVISIONS)}")
        self._clock.forget(self._deadline)
        self.info = answer
        self.problem = None
        self.running_since = time.monotonic()
        self.seconds_to_start = time.monotonic() - self._started
        self.send(notification("notifications/initialized"))  # before anybody can ask anything
        with self._lock:
            if self.state != STARTING:
                return None
            self.state = RUNNING
        return self._learn([method for method, (capability, _, _) in LISTS.items()
                            if capability in self.capabilities and method != TASKS])

    def _learn(self, methods):
        """Fetch these lists into the catalog; with them, or at the deadline, it has settled."""
        def finish(_lists):
            self._clock.forget(deadline)
            self._settle()
        gather = Gather(methods, finish)
        deadline = self._clock.after(LIST_SECONDS, gather.expire)
        if not methods:
            finish({})
        for method in methods:
            Pages(self, method, functools.partial(gather.put, method)).ask()

    def _too_slow(self):
        last = self.last_lines()[-1:]
        self._give_up(f"did not answer initialize within {self.entry.start_timeout:g} seconds"
                      + "".join(f": {line}" for line in last))

    def _give_up(self, problem):
        self._closed(problem)
        self.connection.close()

    def _closed(self, reason):
        """The connection has ended, or is given up: the first reason stays."""
        self._clock.forget(self._deadline)
        with self._lock:
            if self.state in (FAILED, CLOSING):
                expected = True
            else:
                expected, was_running, self.state = False, self.state == RUNNING, FAILED
        if not expected:
            self.problem = printable(self.entry.redact(reason))
            log.error('server "%s" is not running: %s', self.name, self.problem)
        text = f'server "{self.name}" is not running: {self.problem or "it was closed"}'
        self.pending.close(text)
        for call in self.calls.close():
            call.cancel(text)
        self._settle()
        if not expected:
            self._restart_later(was_running)

    # -- starting again

    def _restart_later(self, was_running):
        """With growing pauses, until it has failed too often without being healthy between."""
        if was_running and time.monotonic() - self.running_since >= self.entry.healthy:
            self._failures = 0
        self._failures += 1
        if self._failures > self.entry.restart_attempts:
            if self.restarts:
                log.error('server "%s" is not started again: it failed %d times in a row',
                          self.name, self._failures)
            if was_running:
                self.audience.lists_changed()  # what it had is gone for good
            return
        pause = min(self.entry.restart_pause * 2 ** (self._failures - 1), LONGEST_PAUSE)
        self._clock.after(pause, self._restart)

    def _restart(self):
        """Called by the clock."""
        if not self.connection.join(0):  # never two lives at once: they may share files
            self._clock.after(SHORTEST_PAUSE, self._restart)
            return
        self.restarts += 1
        self.start()

    # -- calls that take too long

    def _watch_again(self):
        with self._lock:
            if self._watching:
                return
            self._watching = True
        self._clock.after(min(1.0, self.entry.timeout / 4), self._watch)

    def _watch(self):
        """Called by the clock, about once a second while a call is in flight."""
        with self._lock:
            self._watching = False
        text = f'server "{self.name}" did not answer within {self.entry.timeout:g} seconds'
        for our_id in self.pending.silent_since(time.monotonic() - self.entry.timeout):
            row = self.pending.take(our_id)
            if row:
                self.send(cancel_notification(our_id, text))
                row.reply_to.send(error(row.id, SERVER_UNAVAILABLE, text))
        if self.pending.calls():
            self._watch_again()

    def _settle(self):
        with self._lock:
            self._settled = True
            waiting, self._when_settled = self._when_settled, []
        if self.state == RUNNING:
            log.info('server "%s" is running (%.1f s)', self.name, self.seconds_to_start)
            self.audience.came_up()
        for function in waiting:
            function()


class _Then:
    """A Peer that calls a function with what it is sent."""

    def __init__(self, function):
        self.send = function
