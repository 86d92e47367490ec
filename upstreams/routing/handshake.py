"""A session's `initialize`: which servers it gets, and when the client gets its answer.

The answer says what the servers can do, so it waits until they have started; but not for long,
because hosts give up a server that does not answer within a few seconds.
"""

import functools
import threading

from transports.fabric.messages import (INVALID_REQUEST, LATEST, REVISIONS, Refused, params_of,
                                        result)
from upstreams.server.lists import when_session_settled


class Handshake:
    """Answers `initialize`. Its methods run in the thread that brings what they are called for."""

    def __init__(self, pool, clock, sessions, report):
        self._pool, self._clock, self._sessions, self._report = pool, clock, sessions, report
        self._lock = threading.Lock()   # protects the version of every session, until it is set

    def initialize(self, session, message, call):
        """Lifecycle, Initialization: the client's revision if we know it, else our newest."""
        params = params_of(message)
        asked, capabilities = params.get("protocolVersion"), params.get("capabilities")
        with self._lock:  # two POSTs may carry an `initialize` at the same time
            if session.version is not None:
                raise Refused(INVALID_REQUEST, "this session is initialized already")
            session.version = asked if asked in REVISIONS else LATEST
        session.capabilities = capabilities if isinstance(capabilities, dict) else {}
        info = params.get("clientInfo")
        session.client_info = info if isinstance(info, dict) else None
        try:
            self._pool.join(session)
        except Exception:
            session.version = None  # the client may try again
            self._pool.release(session)
            raise
        if self._sessions.find(session.id) is None:  # the client left while we started them
            self._pool.release(session)
        if not self._pool.share:
            self._report(session.upstreams.values())
        when_session_settled(session, functools.partial(self._answer, session, call), self._clock,
                             session.surface.patience(session))

    def _answer(self, session, call):
        """The session's servers are up, or have failed, or are too slow to wait for."""
        session.initialized = True  # first: it is told of what changes after the next lines
        try:
            call.send(result(call.id, session.surface.initialize(session)))
        except Refused as problem:
            session.version, session.initialized = None, False
            self._pool.release(session)
            call.fail(problem.code, str(problem), problem.data)
        session.answered_gate.open()
