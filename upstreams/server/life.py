"""One life of a server, from its start to its end. NEXT is the table that the code executes.

An Upstream replaces its life by one assignment. So a thread that reads `upstream.life` once has a
state, a connection and tables that belong together. Once a life is over, nothing that it says is
heard: a grandchild of a process may keep its stdout, and talk on while the next life has begun."""

import math
import time

from transports.fabric.gather import Gather, OnAnswer
from transports.fabric.messages import (REQUEST, RESPONSE, SERVER_UNAVAILABLE, InvalidMessage,
                                        Refused, error, request)
from transports.fabric.peers import StartFailed, passing
from transports.fabric.pending import Calls, PendingRequests, cancel_notification
from transports.fabric.session import Gate
from transports.fabric.text import log, printable

from . import from_server
from .catalog import LISTS, TASKS
from .legacy import Legacy
from .lists import LIST_SECONDS, Pages

RESTING, STARTING, RUNNING, FAILED, CLOSING = "resting", "starting", "running", "failed", "closing"
BEGUN, OPENED, REPLACED, LOST, CLOSED = "begun", "opened", "replaced", "lost", "closed"

MOST_QUESTIONS = 10_000     # of one life that wait for their answers

CHANGES = "subscriptions/listen"    # what we learn at the start beside the lists: what changes

# state → {what happens: the next state}. Else nothing changes: the first reason of an end stays.
NEXT = {
    RESTING: {BEGUN: STARTING,      # there is no connection before that
              CLOSED: CLOSING},
    STARTING: {OPENED: RUNNING,     # it is ready for requests: we learn its lists
               REPLACED: STARTING,  # it has ended, and the next life goes about it another way
               LOST: FAILED,        # it has ended or is given up: Restarts plan the next life
               CLOSED: CLOSING},    # we end it: there is no next life
    RUNNING: {LOST: FAILED, CLOSED: CLOSING},
    FAILED: {CLOSED: CLOSING},
    CLOSING: {}}


class Life:
    """What belongs to one life, and ends with it."""

    def __init__(self, upstream):
        self.upstream, self.label = upstream, upstream.label
        self._clock = upstream.clock
        self.connection = None          # made when it begins
        self.state = RESTING            # changed by `advance` alone
        self.over = False               # whether its connection has ended
        self.pending = PendingRequests(upstream.ids)    # what we asked the server
        self.calls = Calls(self, MOST_QUESTIONS)    # what the server asked and nobody answered yet
        self.era = self.opening = Legacy(self)  # until another is known
        self.next_protocol = None       # by which the next life begins, if that is known
        self.settled_gate = Gate()      # opens when it has started, or has failed to
        self.asks_gate = Gate()         # opens when it asks its client something before that
        self.settled = False            # whether it has started
        self.started = None             # when, by time.monotonic()
        self.running_since = None       # when it said what it can do
        self.known = None               # what it offered and listed before, if it comes back
        self.since = None               # when its server was put to rest, by time.time()
        self.told_uris, self.told_level = set(), None   # by the Audience, last
        self._deadline = None           # of the start: an event of the clock
        self._watch = 0                 # over silent calls: the number of the last that began

    def advance(self, event):
        """Returns the state before, or None if the event changes nothing."""
        with self.upstream.lock:
            before = self.state
            if event not in NEXT[before]:
                return None
            self.state = NEXT[before][event]
            return before

    @property
    def entry(self):
        return self.upstream.entry

    # -- messages

    def send(self, message, call=None):
        """Send the server a message as it is. `call`: the Call on whose behalf, or None."""
        if passing.watched:
            passing.observer.to_server(self.upstream, message, call)
        self.connection.send(message)

    def pass_on(self, message, reply_to, call=None):
        """Send a request as it is. Raises Refused once this life has ended or is given up."""
        sent = self.pending.add(message, reply_to, call)
        if call:
            call.last_at = self     # first: the answer may come at once
        self.send(sent, call)
        if call:
            call.passed_on(self, sent["id"])

    def ask(self, method, params, on_answer):
        """Ask something ourselves, unless this life is over already."""
        try:
            self.era.ask(request(method, params), OnAnswer(on_answer))
        except Refused as problem:
            log.debug("%s: %s: %s", self.entry.name, method, problem)

    def withdraw(self, our_id, reason):
        """The request that we sent under our id is not wanted any more."""
        if self.pending.take(our_id, is_withdrawn=True):
            self.send(cancel_notification(our_id, reason))

    def receive(self, message):
        """Anything that the server said, in its reader thread. Raises InvalidMessage."""
        if self.over:
            return
        if isinstance(message, list):
            self._receive_batch(message)
            return
        message, kind = self.pending.understood(message)
        if kind is REQUEST and ("result" in message or "error" in message):
            answer = self.pending.as_answer(message)
            message, kind = (answer, RESPONSE) if answer else (message, kind)
        if passing.watched:
            passing.observer.from_server(self.upstream, message)
        if kind is RESPONSE:
            self._answered(message)
        else:
            from_server.route(self, message)

    def _answered(self, message):
        if not self.pending.answer(message):
            log.debug("%s: dropped an answer that nobody waits for", self.entry.name)
            self.upstream.pool.answered_late(self.upstream, message["id"])
        elif self.upstream.use.awaited:
            self.upstream.use.awaited = False
            self.upstream.pool.changed()

    def _receive_batch(self, messages):
        """Allowed in 2025-03-26. A part that is no message costs the others nothing."""
        for message in messages:
            try:
                self.receive(message)
            except InvalidMessage as problem:
                log.warning("%s: skipped a part of a batch: %s", self.entry.name, problem)

    def watch_calls(self):
        """From now on the calls that are silent for too long end."""
        self._watch += 1
        self._end_silent_calls(self._watch)

    def _end_silent_calls(self, watch):
        """Called by the clock again and again, until another watch begins. The time of a call
        counts from its request, or from its last progress. One that lasts is never silent."""
        seconds = self.entry.timeout
        if not seconds or watch != self._watch:
            return
        if not self.over:   # first: whatever happens below, there is another look
            self._clock.after(min(1.0, seconds / 4), self._end_silent_calls, watch)
        text = f'server "{self.entry.name}" did not answer within {seconds:g} seconds'
        moment = time.monotonic() - seconds
        waiting = [question.within for question in self.calls.all()]    # for their clients
        for our_id, row in self.pending.rows():
            if row.call and (row.call in waiting or None in waiting or row.call.method == CHANGES):
                row.heard = time.monotonic()
            # Answered first: its call ends while the request is still in the table.
            if row.is_for_others and row.heard <= moment and self.pending.find(our_id):
                row.reply_to.send(error(row.id, SERVER_UNAVAILABLE, text))
                self.withdraw(our_id, text)

    # -- the start: called by the thread that starts it, the reader and the clock

    def start(self, protocol):
        """Start the connection, and open the conversation by this protocol."""
        upstream = self.upstream
        if self.entry.problem:
            self.advance(BEGUN)
            self._end(self.entry.problem, hopeless=True)
            return
        self.connection = upstream.connect()
        if not self.advance(BEGUN):
            return
        self.started = time.monotonic()
        self._deadline = self._clock.after(self.entry.start_timeout, self._too_slow)
        if upstream.open_life:
            self.opening = upstream.open_life(self, protocol)
        try:
            self.connection.start(self.receive, self.lost)
        except StartFailed as problem:
            # Later the reason may pass: its command is being updated, the system is out of files.
            self._end(str(problem), hopeless=not upstream.use.server.has_run)
        else:
            self.opening.start()
        if self.state == CLOSING:  # close() may have come before there was a process to close
            self.connection.close()

    def opened(self, era):
        """It is ready for requests. Called by the opening, in the reader thread."""
        upstream = self.upstream
        self._clock.forget(self._deadline)
        if self.state != STARTING:
            return
        upstream.pool.is_of_era(upstream, era.name)
        if self.connection.skipped:  # and so perhaps its answer to server/discover
            upstream.pool.forget_era(upstream)
        if upstream.restarts.spared:
            log.info('"protocol": "%s" in its config spares "%s" a start', era.name, self.label)
        with upstream.lock:     # the clock may give it up just now
            if self.state != STARTING:
                return
            self.era, self.running_since = era, time.monotonic()
            upstream.info, upstream.problem, upstream.restarts.spared = era.info, None, False
            upstream.cost = {**upstream.cost, "startSeconds": round(
                self.running_since - self.started, 2)}
            self.advance(OPENED)
        self.watch_calls()
        methods = [method for method, (capability, _, _) in LISTS.items()
                   if capability in upstream.offered and method != TASKS]
        Gather([*methods, CHANGES], self._learned, self._clock, LIST_SECONDS).start(
            lambda source, put: era.listen(put) if source is CHANGES
            else Pages(upstream, source, put).ask())

    def _learned(self, lists, missing):
        """Its lists are in the catalog, and we hear of their changes, or the time is over."""
        upstream = self.upstream
        upstream.unlisted = {
            **{method: "answered with an error" for method, items in lists.items()
               if items is None},
            **{method: f"did not answer within {LIST_SECONDS:g} seconds" for method in missing}}
        if self.state == RUNNING:  # or it has ended while its lists were fetched
            log.info('server "%s" is running (%.1f s)', self.label, upstream.cost["startSeconds"])
            self.settled = True
            upstream.audience.tell_server()
            self._tell_what_is_new(lists)
        self.settled_gate.open()
        upstream.pool.changed()

    def _tell_what_is_new(self, lists):
        """If it comes back from its rest, only what differs from then is news."""
        upstream = self.upstream
        offered, _ = before = self.known or ((), None)
        for method in LISTS:
            if method not in lists and LISTS[method][0] not in upstream.offered:
                upstream.catalog.learn(method, [])  # it may have had that in an earlier life
        if before != (upstream.offered, upstream.catalog.lists):
            upstream.audience.lists_changed({*offered, *upstream.offered})

    # -- the end: called by a thread of the connection, by the clock, or by whoever ends it

    def _too_slow(self):
        """The time for its start is over. Our second request may have silenced it: see eras."""
        era = self.opening.end(silent=True)
        if era and not self.upstream.restarts.spared:
            self.begin_again(era)
            return
        skipped = self.connection.skipped
        said = [skipped] if skipped else self.connection.last_lines()[-1:]
        self.give_up(f"did not answer within {self.entry.start_timeout:g} seconds"
                     + "".join(f": {line}" for line in said))

    def give_up(self, problem):
        """It cannot be used. Called by the opening too."""
        self._end(problem)
        self.connection.close()

    def begin_again(self, protocol):
        """This process has seen what it should not have: the next life begins by this protocol."""
        self.next_protocol, self.upstream.restarts.spared = protocol, True
        self.connection.close()

    def lost(self, reason, pause=None):
        """The connection has ended. For `pause` see fabric/peers.py. Some servers crash on our
        first request: that is forgiven once, until a life succeeds. A remote one answers it."""
        self.over = True
        restarts, era = self.upstream.restarts, self.opening.end(silent=self.connection.unread)
        if era and not restarts.spared and not self.entry.url:
            self.next_protocol, restarts.spared = era, True
        if self.next_protocol is None or not self.advance(REPLACED):
            self._end(reason, hopeless=pause == math.inf, pause=pause)
            return
        log.info('server "%s" is started again as a %s one: that it was asked for its era may be '
                 "why it %s", self.label, self.next_protocol, self.entry.redact(reason))
        self._clock.forget(self._deadline)
        self.pending.close(reason)
        restarts.begin(self, failed=False)

    def closed(self, at_once):
        """We end it. What waits for it fails now if that must be, or if nothing else ends that."""
        if self.connection:
            self.connection.close()
        if at_once or self.over or self.started is None:
            self._end("it was closed")

    def _end(self, reason, hopeless=False, pause=None):
        """It has ended, or we give it up: all that waits for it fails."""
        upstream = self.upstream
        self._clock.forget(self._deadline)
        self.opening.end()
        before = self.advance(LOST)
        if before:
            upstream.problem = printable(self.entry.redact(reason))
            log.error('server "%s" is not running: %s', self.label, upstream.problem)
        text = f'server "{self.entry.name}" is not running: {upstream.problem or "it was closed"}'
        self.pending.close(text)
        for question in self.calls.close():
            question.cancel(text)
            if question.within:  # a modern server has answered that call, with this question
                question.within.fail(SERVER_UNAVAILABLE, text)
        self.settled_gate.open()
        if before == STARTING:  # it may have become one of the other era
            upstream.pool.forget_era(upstream)
        if before:
            outlook, restarts = upstream.restarts.plan(self, hopeless, pause), upstream.restarts
            tell = log.error if restarts.given_up and restarts.count else log.info
            tell('server "%s": %s', self.label, outlook)
            upstream.pool.failed(upstream)
