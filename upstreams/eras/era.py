"""Which era a server speaks: the first messages of each of its lives.

`server/discover` comes first (2026-07-28, stdio, Backward Compatibility). A server that answers it
with an error, or says nothing for two seconds, gets `initialize` down the same pipe. Whichever it
says yes to first decides; a no to the other one counts no more. One that was only slow may say
yes to both, and is legacy from then on: it is started again, and gets `server/discover` alone.

What it was in a life that succeeded is remembered, and it is not asked again until that fails.
"""

import functools
import threading

from transports.fabric.gather import OnAnswer
from transports.fabric.messages import (LATEST, MODERN_REVISION, REVISIONS, SERVER_UNAVAILABLE,
                                        Refused, notification, request)
from upstreams.server.legacy import AUTO, LEGACY, Legacy
from upstreams.server.opening import reason_of, refusal

from .modern import MODERN, Modern, meta_of

PATIENCE = 2.0      # seconds without an answer to server/discover, until initialize follows
REMOTE_PATIENCE = 20.0  # the same over HTTP, where an answer may wait until a machine is up


class Opening:
    """The opening of one life. It ends with `upstream.opened` or `upstream.give_up`.

    The answers come in the reader thread, the second request perhaps from the clock.
    """

    def __init__(self, upstream, life, protocol, client, clock):
        self._upstream, self._life, self._protocol = upstream, life, protocol
        self._client, self._clock = client, clock
        self._timer = None
        self._insisted = False      # whether server/discover was sent a second time
        self._lock = threading.Lock()
        # protected by _lock:
        self._unanswered = 1        # requests
        self._answered = False      # whether it has answered any of them
        self._initializes = False   # whether initialize was sent
        self._over = False
        self._problem = None        # of the first refusal
        self._modern = None         # if it said yes to server/discover while initialize waits

    def start(self):
        if self._protocol == LEGACY:
            self._initialize()
            return
        if self._protocol == AUTO:
            patience = REMOTE_PATIENCE if self._upstream.entry.url else PATIENCE
            self._timer = self._clock.after(patience, self._initialize)
        self._discover()

    def end(self):
        """The process has ended, or is given up: nothing that comes later counts.

        Returns the era to begin again with, if it may have ended because of our question: it
        has answered nothing, or nothing but yes to server/discover.
        """
        with self._lock:
            was_over, self._over = self._over, True
            answered, modern = self._answered, self._modern
        self._forget_timer()
        if was_over or self._protocol != AUTO:
            return None
        return MODERN if modern else None if answered else LEGACY

    def was_heard(self):
        """Whether it has said yes to server/discover: a silence after that has another reason."""
        return self._modern is not None

    def _ask(self, method, params, on_answer):
        try:
            self._upstream.pass_on(self._life, request(method, params),
                                   OnAnswer(functools.partial(self._answer, on_answer)))
        except Refused:
            pass  # it has ended already, and `end` was or will be called

    def _answer(self, on_answer, response):
        with self._lock:
            over, self._answered = self._over, True
        if not over:
            on_answer(response)

    def _discover(self):
        self._ask("server/discover", {"_meta": meta_of(self._client)}, self._discovered)

    def _discovered(self, response):
        offered = _revisions_in(response)
        if MODERN_REVISION in offered and "result" in response:
            era = Modern(self._upstream, self._life, response["result"], self._client,
                         self._clock)
            with self._lock:
                if self._initializes and not self._problem:  # which is not refused yet
                    self._modern = era
                else:
                    self._over = True   # in the same breath: the clock must not initialize now
            if self._modern is None:
                self._yes(era)
        elif MODERN_REVISION in offered and not self._insisted:
            self._insisted = True   # it refuses our revision, and says that it supports it
            self._discover()
        elif self._protocol == MODERN:
            self._no("refused server/discover: " + reason_of(response))
        elif offered and not set(offered) & {*REVISIONS, MODERN_REVISION}:
            self._no(f"speaks revisions {', '.join(offered)} of MCP; this router knows "
                     f"{', '.join(REVISIONS)} and {MODERN_REVISION}")
        else:
            if not _was_unavailable(response):
                self._upstream.is_of_era(LEGACY)
            self._initialize()
            self._no(None)

    def _initialize(self):
        """Called by the clock if server/discover has no answer yet."""
        with self._lock:
            if self._over or self._initializes:
                return
            self._initializes = True
            self._unanswered += self._protocol != LEGACY    # before the other no can come
        # Lifecycle, Initialization: we offer the newest revision that we know.
        self._ask("initialize", {"protocolVersion": LATEST, **self._client}, self._initialized)

    def _initialized(self, response):
        answer = response.get("result")
        if self._modern:
            if "error" in response:
                self._yes(self._modern)
            else:
                self._upstream.begin_again(self._life, MODERN)
        elif refusal(response):
            self._no(refusal(response))
        else:
            # Before its state changes, since from then on any thread may send a request.
            self._life.send(notification("notifications/initialized"))
            self._yes(Legacy(self._upstream, self._life, answer))

    def _yes(self, era):
        with self._lock:
            self._over = True
        self._forget_timer()
        self._upstream.is_of_era(era.name)
        self._upstream.opened(self._life, era)

    def _no(self, problem):
        """It has failed if the other request was refused too, or there is none."""
        with self._lock:
            self._unanswered -= 1
            self._problem = self._problem or problem
            failed = not self._unanswered
        if failed:
            self._upstream.give_up(self._life, self._problem)

    def _forget_timer(self):
        if self._timer:
            self._clock.forget(self._timer)


def _revisions_in(response):
    """The revisions that an answer to server/discover offers: in its result, or in the error
    that says that ours is not supported (2026-07-28, Protocol Version Negotiation)."""
    answer = response.get("result")
    if "error" in response and isinstance(response["error"], dict):
        answer = response["error"].get("data")
    answer = answer if isinstance(answer, dict) else {}
    offered = answer.get("supported" if "error" in response else "supportedVersions")
    return [revision for revision in offered if isinstance(revision, str)] \
        if isinstance(offered, list) else []


def _was_unavailable(response):
    """Whether it may be that the server was never asked: the error is one that a connection makes
    when it cannot deliver a request. A legacy server may say the same, and is known later."""
    problem = response.get("error")
    return isinstance(problem, dict) and problem.get("code") == SERVER_UNAVAILABLE
