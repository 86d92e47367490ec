"""Calls whose client was asked something, and is to come back with the answers.

The client has the name of such a call: its `requestState`. It is unguessable, good for one retry
of the same request at the same place, and for some minutes. So a state that somebody else has got
hold of, or has made up, names nothing.
"""

import secrets
import threading

from transports.fabric.messages import INVALID_PARAMS, SERVER_UNAVAILABLE, Refused, dig

OURS = "mcp-local-router:"  # how our states begin; any other is a modern server's own
PARKED_SECONDS = 300.0      # that a call waits for its client
MOST_PARKED = 1000


class Parked:
    """The calls that wait: {state: session}. Any thread may call anything here."""

    def __init__(self, clock):
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting = {}      # protected by _lock: {state: (session, what it is bound to)}

    def put(self, session):
        """The state that the session's client is given. Raises Refused if too many wait."""
        state = OURS + secrets.token_urlsafe(24)
        with self._lock:
            if len(self._waiting) >= MOST_PARKED:
                raise Refused(SERVER_UNAVAILABLE, f"{MOST_PARKED} calls wait for their clients' "
                                                  "answers already: try again later")
            self._waiting[state] = session, _bound_to(session.message, session.transport,
                                                      session.surface_name)
        self._clock.after(PARKED_SECONDS, self._expire, state)
        return state

    def take(self, message, transport, name):
        """The session that this request is a retry of; None if it is none. Raises Refused."""
        state = dig(message, "params", "requestState")
        if not isinstance(state, str) or not state.startswith(OURS):
            return None
        with self._lock:
            session, bound_to = self._waiting.get(state, (None, None))
            if session is None or bound_to != _bound_to(message, transport, name):
                raise Refused(INVALID_PARAMS, "this requestState is not known, used already, "
                                              "expired, or of another request: call again without")
            del self._waiting[state]
        return session

    def forget(self, state):
        """Its call has ended."""
        with self._lock:
            self._waiting.pop(state, None)

    def _expire(self, state):
        """Called by the clock."""
        with self._lock:
            session, _ = self._waiting.pop(state, (None, None))
        if session:
            session.give_up("its client did not come back")


def _bound_to(message, transport, name):
    return (message["method"], dig(message, "params", "name"), dig(message, "params", "uri"),
            transport, name)
