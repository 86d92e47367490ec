"""The first messages of a life of a server: `initialize`, and what it says to that."""

import functools

from transports.fabric.gather import OnAnswer
from transports.fabric.messages import LATEST, REVISIONS, Refused, notification, request

from .legacy import Legacy


class Opening:
    """The opening of one life. It ends with `upstream.opened` or `upstream.give_up`."""

    def __init__(self, upstream, life, _protocol, client, _clock):
        self._upstream, self._life, self._client = upstream, life, client
        self._over = False

    def start(self):
        # Lifecycle, Initialization: we offer the newest revision that we know.
        try:
            self._upstream.pass_on(
                self._life, request("initialize", {"protocolVersion": LATEST, **self._client}),
                OnAnswer(functools.partial(self._initialized)))
        except Refused:
            pass  # it has ended already, and `end` was or will be called

    def end(self):
        """The process has ended, or is given up: nothing that comes later counts. Returns the era
        to begin again with, or None."""
        self._over = True

    def was_heard(self):
        return False

    def _initialized(self, response):
        if self._over:
            return
        answer, problem = response.get("result"), refusal(response)
        if problem:
            self._upstream.give_up(self._life, problem)
            return
        # Before its state changes, since from then on any thread may send a request.
        self._life.send(notification("notifications/initialized"))
        self._over = True
        self._upstream.opened(self._life, Legacy(self._upstream, self._life, answer))


def refusal(response):
    """Why this answer to `initialize` begins no session, in words; None if it does."""
    answer = response.get("result")
    if not isinstance(answer, dict):
        return "refused to initialize: " + reason_of(response)
    if answer.get("protocolVersion") not in REVISIONS:
        return (f"speaks revision {answer.get('protocolVersion')!r} of MCP; this router "
                f"knows {', '.join(REVISIONS)}")
    return None


def reason_of(response):
    problem = response.get("error")
    return str(problem.get("message") if isinstance(problem, dict) else "it sent no result")
