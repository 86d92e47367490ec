"""Calls whose client was asked something, and is to come back with the answers.

The client has the name of such a call: its `requestState`. It is unguessable, good for one retry
of the same request at the same place, and for some minutes. So a state that somebody else has got
hold of, or has made up, names nothing.

A modern server has states of its own, which go on as they are. But a URI does not say to which of
several servers a retry belongs, so there the state says it."""

import json
import secrets
import threading

from transports.fabric.messages import INVALID_PARAMS, SERVER_UNAVAILABLE, Refused, dig, encode

OURS = "mcp-local-router:"  # how the names of parked calls begin
OF_SERVER = "mcp-local-router/server:"  # how a state begins that says which server it is of
PARKED_SECONDS = 300.0      # that a call waits for its client
MOST_PARKED = 1000
MOST_BYTES = 64 * 2**20     # that all of them make us keep. A single thing may have any size


class Parked:
    """The calls that wait: {state: session}. Any thread may call anything here."""

    def __init__(self, clock):
        self._clock = clock
        self._lock = threading.Lock()
        # protected by _lock:
        self._waiting = {}      # state → (session, an event of the clock, the request's size)
        self.size = 0           # bytes of what is kept for clients that are asked, or away

    def keep(self, size):
        """So many bytes more are kept, until `free`. Raises Refused if there are too many."""
        with self._lock:
            if self.size > MOST_BYTES:
                raise Refused(SERVER_UNAVAILABLE, "too much is kept for clients that were asked "
                                                  "something already: try again later")
            self.size += size

    def free(self, size):
        with self._lock:
            self.size -= size

    def put(self, session):
        """The state that the session's client is given. Raises Refused if too many wait. Its
        request counts among what is kept from now on; if that is too much, nobody else is asked
        anything."""
        state, size = OURS + secrets.token_urlsafe(24), len(encode(session.message))
        expires = self._clock.after(PARKED_SECONDS, self._expire, state)
        with self._lock:
            is_one_more = len(self._waiting) >= MOST_PARKED
            if not is_one_more:
                self._waiting[state] = session, expires, size
                self.size += size
        if is_one_more:
            self._clock.forget(expires)
            raise Refused(SERVER_UNAVAILABLE, f"{MOST_PARKED} calls wait for their clients' "
                                              "answers already: try again later")
        return state

    def take(self, message, transport, name):
        """The session that this request is a retry of; None if it is none. Raises Refused."""
        state = message["params"].get("requestState")
        if not isinstance(state, str) or not state.startswith(OURS):
            return None
        with self._lock:
            session, expires, size = self._waiting.get(state, (None, None, 0))
            if session is None or _of(session.message, session.transport, session.surface_name) \
                    != _of(message, transport, name):
                raise Refused(INVALID_PARAMS, "this requestState is not known, used already, "
                                              "expired, or of another request: call again without")
            del self._waiting[state]
            self.size -= size
        self._clock.forget(expires)
        return session

    def forget(self, state):
        """Its call has ended. Returns the session; None if there is none any more."""
        with self._lock:
            session, expires, size = self._waiting.pop(state, (None, None, 0))
            self.size -= size
        self._clock.forget(expires)
        return session

    def _expire(self, state):
        """Called by the clock."""
        if session := self.forget(state):
            session.give_up("its client did not come back")


def _of(message, transport, name):
    """What a retry and its request have in common."""
    name_or_uri = [dig(message, "params", key) for key in ("name", "uri")]
    return message["method"], name_or_uri, dig(message, "params", "arguments"), transport, name


def of_server(name, state):
    """A state that says which server it is of; that server's own is None if it gave none."""
    return OF_SERVER + json.dumps([name, state])


def read_of_server(state):
    """(the server, its own state) of such a state. Raises Refused if it is another."""
    try:
        said = json.loads(state.removeprefix(OF_SERVER)) if str(state).startswith(OF_SERVER) else 0
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, list) or len(said) != 2 or not isinstance(said[0], str) \
            or not isinstance(said[1], (str, type(None))):
        raise Refused(INVALID_PARAMS, "this requestState was not given out here: read again "
                                      "without")
    return said
