"""Logins that begin and end in the browser that shows our page: the answer comes to the address of
the router. Between the two nobody waits, so there is no thread."""

import threading
import time

from .attempt import Attempt
from .bearer import logs_in, needs_login
from .grant import said_in
from .listener import SECONDS
from .web import LoginFailed

MOST = 20           # logins that have begun and have no answer yet
_ELSEWHERE = "clientId", "clientMetadataUrl", "callbackPort", "redirectUri"


class PageLogins:
    """For the servers of this pool. Any thread that may wait for an authorization server."""

    def __init__(self, pool, clock):
        self._pool, self._clock = pool, clock
        self._lock = threading.Lock()
        self._begun = {}    # protected by _lock: {state of a login: (its end, Attempt)}

    def mends(self, name, problem):
        """Whether a login at this server would mend this problem."""
        entry = self._pool.entries.get(name)
        return bool(entry and problem and logs_in(entry) and needs_login(entry) in problem)

    def begin(self, name, redirect):
        """The URL that the browser is to open; it comes back to `redirect`. Raises LoginFailed."""
        entry = self._pool.entries.get(name)
        if entry is None or not logs_in(entry):
            raise LoginFailed("there is no login at such a server")
        attempt = Attempt(entry, self._clock)
        if attempt.config.keys() & {*_ELSEWHERE}:
            raise LoginFailed('its "oauth" may only come back to an address of its own: use '
                              f"router.py --login {name}")
        try:
            url = attempt.begin(redirect)
        except LoginFailed:
            attempt.end()
            raise
        with self._lock:
            self._begun[attempt.state] = time.monotonic() + SECONDS, attempt
            _, oldest = self._begun.pop(next(iter(self._begun))) if len(self._begun) > MOST \
                else (0, None)
        if oldest:
            oldest.end()
        return url

    def answer(self, query):
        """The name of the server where this answer has logged us in. Raises LoginFailed."""
        state = said_in(query).get("state")
        with self._lock:
            end, attempt = self._begun.pop(state, (0, None))
        if attempt is None:
            raise LoginFailed("no login waits for this answer: begin it again on the page")
        try:
            if time.monotonic() > end:
                raise LoginFailed("this answer comes too late: begin again on the page")
            attempt.finish(attempt.code_in(query))
            return attempt.entry.name
        finally:
            attempt.end()
