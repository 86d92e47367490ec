"""--connect: one client on stdio is passed on to one MCP server over HTTP, and back, as it is.

A Relay takes the place of the Router: transports/stdio.py calls the same methods. Nothing is
looked up and nothing renamed, in either era: ids pass as they are.

The one surprise: when the server forgets the session, as a router does that was restarted, the
client does not notice. What opened the session is said again on a new connection, and the client
hears that its lists may have changed. Only the requests that were under way fail, since they may
have run. But what could never be opened, as the URL or the token is wrong, ends the program."""

import contextlib
import functools
import itertools
import math
import re
import threading
import time
from dataclasses import dataclass, field

from transports.fabric.messages import (REQUEST, RESPONSE, SERVER_UNAVAILABLE, Refused, dig,
                                        encode, error, kind_of, notification)
from transports.fabric.peers import StartFailed, passing
from transports.fabric.pending import Call, cancel_notification, whole
from transports.fabric.session import Gate, Session
from transports.fabric.text import hidden, log
from transports.program.options import CannotServe
from transports.program.signals import end_ourselves
from upstreams.connections.remote import circle
from upstreams.connections.remote.connection import HttpFailed, Origin, ServerConnection
from upstreams.server.audience import MOST_SUBSCRIPTIONS
from upstreams.server.catalog import CHANGED
from upstreams.server.life import MOST_QUESTIONS

from .entry import entry_for

FIRST_PAUSE = 0.5       # seconds until a lost session is opened again; doubled with each failure
LONGEST_PAUSE = 30.0
HEALTHY = 10.0          # seconds of a session after which earlier failures do not count
FIRST_TRIES = 4         # connections, if nothing has come of any since the client said something
# What is no MCP server that we may use: these HTTP errors, and success with something else.
FINAL, NO_ANSWER = (401, 403, 404, 405), re.compile(r'server ".*(?:answered |\()HTTP 2')
LONGEST_KEPT = 100_000  # bytes of a message that is kept for the next session
END_SECONDS = 5.0       # for the server to hear that the session has ended

# What a server remembers in a session → the parameter that tells two of a kind apart.
KEPT = {"initialize": None, "notifications/initialized": None, "logging/setLevel": None,
        "resources/subscribe": "uri"}
OPENING = "initialize", None    # its key among these


def pass_on(options, serve, connect, in_clear=None):
    """--connect, as a function of the clock that serves one client until its input ends and
    returns the exit status; `serve` is that of transports/stdio.py, and `connect` makes a
    connection, see the remote room; for in_clear see entry_for. Raises ValueError."""
    entry = entry_for(options.given["--connect"], options.access.token,
                      options.given["--token-file"] is not None, in_clear)
    hidden.add(entry.secrets)
    circle.is_relay()
    return functools.partial(_pass_on, entry, options, serve, connect)


def _pass_on(entry, options, serve, connect, clock):
    try:
        with contextlib.closing(ServerConnection(Origin(entry.url))) as connection:
            connection.connect()    # whether anything listens there
    except HttpFailed as problem:
        raise CannotServe(f"nothing answers at {entry.name}: {problem}; start a router there "
                          "first, with --transport http, or correct the URL") from None
    relay = Relay(entry, lambda: connect(entry, "server", clock, None, options.limits.message),
                  clock, options.limits)
    try:
        serve(relay, options)
    except SystemExit:
        if not relay.hopeless:
            raise
    if relay.hopeless:
        raise CannotServe(f"no session could be opened at {entry.name}: {relay.hopeless}; correct "
                          "the URL, or give the token for it with --token-file")
    return 0


@dataclass(eq=False)
class _Life:
    """What belongs to one connection, and ends with it."""

    connection: object
    # protected by the lock of the Relay:
    problem: str = None             # why requests cannot be passed on; None: they can
    ended: bool = False
    questions: set = field(default_factory=set)     # ids of what the server asked, unanswered
    # not protected:
    began: float = field(default_factory=time.monotonic)
    opening_id: str = None          # of our own initialize


class Relay:
    """One client, and the server at one URL. stdio.py calls open, handle and leave."""

    def __init__(self, entry, connect, clock, limits):
        """`connect()` makes a connection, one for each life of the session."""
        self.limits = limits
        self.name = self.label = entry.name     # the tap shows it as a server
        self.hopeless = None                # why no session can be opened, in words
        self._connect, self._clock = connect, clock
        self._ids = itertools.count(1)      # of what we ask ourselves
        self._pause = 0.0                   # before the next life
        self._initializes = False           # whether the client has begun a session
        self._works, self._tries = False, 0     # whether the server has ever given a result
        self._asked = False                 # whether the client has said anything
        self._refused = None                # why the server would have nothing of us, before that
        self._lock = threading.Lock()
        # protected by _lock:
        self._life = None
        self._kept = {}             # what a new session must be told again: {key: message}
        self._capabilities = None   # of the server, as the client knows them; None before that
        self._left = False          # whether the client has

    def names(self):
        return [self.name]

    # -- called by stdio.py, in the main thread

    def open(self, transport):
        self._session = Session(None, transport, most_calls=self.limits.calls)
        self._begin()
        return self._session

    def handle(self, session, message, reply_to):
        """One message from the client. Raises InvalidMessage if it is none."""
        if isinstance(message, list) and message:
            for part in message:
                self.handle(session, part, reply_to)
            return
        if isinstance(message, dict) and message.keys() == {"jsonrpc", "id"}:
            message = whole(message)    # an answer that has lost its result ends its question
        kind, self._asked = kind_of(message), True
        if passing.watched:
            passing.observer.from_client(session, message)
        try:
            call = session.calls.open(message, reply_to) if kind is REQUEST else None
        except Refused as problem:
            reply_to.send(problem.answer(message["id"]))
            return
        if message.get("method") == "notifications/cancelled":
            session.calls.cancel(_param(message, "requestId"), "cancelled")
        self._in_turn(session, message, call)

    def _in_turn(self, session, message, call):
        """Over HTTP nothing can follow `initialize` before its answer, which names the session."""
        if call and call.method == "initialize":
            self._initializes, session.answered_gate = True, Gate()     # shut for this one
            call.on_end(session.answered_gate.open)
            self._pass_on(message, call)
            return
        if not self._initializes:   # as an early ping, or a client that needs no session
            self._pass_on(message, call)
        elif not session.answered_gate.do(self._pass_on, message, call) and call:
            call.fail(SERVER_UNAVAILABLE, "too much waits for the answer to initialize already")

    def _pass_on(self, message, call):
        life, problem = self._note(message)
        if problem and call:
            call.fail(SERVER_UNAVAILABLE, problem)
            if self._refused:
                self._give_up(self._refused)
        elif not problem and not (call and call.ended):
            self._send(life.connection, message, call)

    def _send(self, connection, message, call=None):
        if passing.watched:
            passing.observer.to_server(self, message, call)
        connection.send(message)

    def leave(self, session):
        """The client has left: the server is told, which takes END_SECONDS at most."""
        with self._lock:
            self._left, life = True, self._life
        for call in session.calls.close():
            call.fail(SERVER_UNAVAILABLE, "the session has ended")
        session.close_streams()
        life.connection.close()
        if not life.connection.join(END_SECONDS):
            log.warning("%s did not hear that the session has ended", self.name)

    def _note(self, message):
        """Keep what a new session must be told again. Returns the life that the message belongs
        to, and why it cannot be passed on there, or None."""
        method = message.get("method")
        with self._lock:
            life = self._life
            if method in KEPT:
                self._keep(message, (method, KEPT[method] and _param(message, KEPT[method])))
            elif method == "resources/unsubscribe":
                self._kept.pop(("resources/subscribe", _param(message, "uri")), None)
            elif method is None:
                if message["id"] not in life.questions:
                    return life, "it answers a question of an earlier life"
                life.questions.discard(message["id"])
            return life, life.problem

    def _keep(self, message, key):
        """The latest subscriptions: a client may go on for ever. Requires the lock."""
        self._kept.pop(key, None)
        if key == OPENING or len(encode(message)) <= LONGEST_KEPT:
            self._kept[key] = message
        uris = [key for key in self._kept if key[0] == "resources/subscribe"]
        for oldest in uris[:-MOST_SUBSCRIPTIONS]:
            del self._kept[oldest]

    # -- called by the connection's reader thread

    def _receive(self, life, message):
        kind = kind_of(message)
        if passing.watched:
            passing.observer.from_server(self, message)
        if kind is RESPONSE:
            self._answer(life, message)
            return
        if passing.watched and kind is REQUEST:
            passing.observer.asked(self._session, message["id"],
                                    Call(self, message, None, within=self.sole_call()))
        with self._lock:
            is_one_more = kind is REQUEST and len(life.questions) >= MOST_QUESTIONS
            if kind is REQUEST and not is_one_more:
                life.questions.add(message["id"])
            elif message["method"] == "notifications/cancelled":
                life.questions.discard(_param(message, "requestId"))
        if is_one_more:
            self._send(life.connection, error(
                message["id"], SERVER_UNAVAILABLE, "too much waits for the client's answers"))
            return
        self._session.outbox.send(message)

    def sole_call(self):
        """For the tap, as that of an Upstream."""
        calls = self._session.calls.all()
        return calls[0] if len(calls) == 1 else None

    def _answer(self, life, message):
        if message["id"] == life.opening_id:
            self._opened_again(life, message)
            return
        call = self._session.calls.find(message["id"])
        if call is None:
            log.debug("%s: dropped an answer that nobody waits for", self.name)
            return
        if call.method == "initialize" and isinstance(message.get("result"), dict):
            with self._lock:
                self._capabilities = message["result"].get("capabilities")
        self._works = self._works or "result" in message
        call.send(message)
        text = str(dig(message, "error", "message"))
        if call.method == "initialize" and not self._works and (
                life.connection.refused_with in FINAL or NO_ANSWER.match(text)):
            self._give_up(text)

    def _opened_again(self, life, answer):
        if "error" in answer:
            self._ended(life, str(dig(answer, "error", "message")))
            return
        with self._lock:
            life.problem = None
            kept = [message for key, message in self._kept.items() if key != OPENING]
            capabilities = self._capabilities
        log.info("%s: the session is open again", self.name)
        for message in kept:
            self._send(life.connection, self._ours(message) if "id" in message else message)
        for method in CHANGED:
            if dig(capabilities, method.split("/")[1], "listChanged"):
                self._session.outbox.send(notification(method))

    def _ours(self, message):
        """A copy under an id that no client uses: nobody waits for the answer."""
        return {**message, "id": f"router-{self._session.id}-{next(self._ids)}"}

    # -- the beginning and the end of a life: called by the main thread, the clock and threads of
    #    the connection

    def _begin(self):
        if self._life and not self._life.connection.join(0):    # it may wait for a login
            self._clock.after(FIRST_PAUSE, self._begin)
            return
        connection, self._refused = self._connect(), None
        with self._lock:
            if self._left:
                return
            opening = self._kept.get(OPENING) if self._capabilities is not None else None
            # Before its start it would hear of nothing: nothing is passed on until then.
            life = self._life = _Life(connection, self._life.problem if self._life else None)
        try:
            connection.start(functools.partial(self._receive, life),
                             functools.partial(self._ended, life))
        except StartFailed as problem:
            self._ended(life, str(problem))
            return
        if opening:
            opening = self._ours(opening)
            life.opening_id = opening["id"]
            self._send(connection, opening)
        else:
            with self._lock:
                life.problem = life.problem if life.ended else None
        if self._left:  # leave() may have come before there was a connection to close
            connection.close()

    def _ended(self, life, reason, pause=None):
        """The connection has ended, or its session could not be opened. Begin another, after
        `pause` seconds if the server said so."""
        self._tries += self._asked
        reason = reason.rstrip(".")
        if not self._works and (pause == math.inf or self._tries >= FIRST_TRIES):
            self._refused = reason
        hopeless = self._refused and self._asked
        again = "it is tried" if self._capabilities is None else "its session is opened"
        text = f"{self.name}: {reason}" + ("" if hopeless else f"; {again} again")
        with self._lock:
            if life.ended or self._left:
                return
            life.ended, life.problem = True, text
            questions = list(life.questions)
        log.warning("%s", text)
        life.connection.close()
        for call in self._session.calls.all():
            call.fail(SERVER_UNAVAILABLE, text)
        for question in questions:
            self._session.outbox.send(cancel_notification(question, text))
        if hopeless:
            self._give_up(reason)
            return
        if time.monotonic() - life.began >= HEALTHY:
            self._pause = 0.0
        self._clock.after(max(self._pause, min(pause or 0, LONGEST_PAUSE)), self._begin)
        self._pause = min(2 * self._pause or FIRST_PAUSE, LONGEST_PAUSE)

    def _give_up(self, reason):
        """No session was ever open, and none can be: the program ends, and says why."""
        self.hopeless = reason.removeprefix(f'server "{self.name}" ').rstrip(".")
        end_ourselves()


def _param(message, key):
    """A parameter that can be a key of a dict, or None."""
    value = dig(message, "params", key)
    return value if isinstance(value, (str, int, float)) else None
