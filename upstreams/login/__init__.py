"""The room that logs in at remote servers, with OAuth (2026-07-28, Authorization).

Comes in by router.py: as another `connect` for remote servers, as what watches the answers of
calls, and as --login and --logout. May import: transports.fabric, upstreams.config,
upstreams.server, upstreams.connections.remote, transports.program.

Locks that are held over a call (see transports/fabric):
    Bearer._lock    held while the authorization server is asked
    Asking._lock    held while the thread of a login is started

In reading order:
    command.py      --login and --logout
    attempt.py      one login, from the first question to the tokens
    grant.py        what is said to the authorization server
    discovery.py    which one that is, and where
    listener.py     where the browser comes back to
    tokens.py       the file of the tokens
    bearer.py       the header Authorization, as long as that goes
    asking.py       a call whose user is asked to log in
    page.py         a login from the page of the router
    web.py          asking what a server names
"""

import threading

from upstreams.connections import remote


def connect(entry, label, clock, guardian, longest):
    """A connection to a remote server, with the tokens of a login if its config has none."""
    from .bearer import Bearer, logs_in  # only now: who has no remote server needs no TLS
    return remote.connect(entry, label, clock, guardian, longest,
                          Bearer(entry, clock) if logs_in(entry) else None)


def log_in(*arguments):
    """--login and --logout, see command.py."""
    from .command import command
    return command(*arguments)


class Logins:
    """Calls of this pool may ask their users to log in; `with` this, which the page uses as a
    PageLogins. What it needs is imported when a remote server is called or logged in to first."""

    def __init__(self, pool, clock):
        self._pool, self._clock = pool, clock
        self._lock = threading.Lock()
        self._made = None   # written under _lock: (Asking, PageLogins)

    def __enter__(self):
        self._pool.watch = lambda *call: self._both()[0].watch(*call)
        return self

    def __exit__(self, *_problem):
        if self._made:
            self._made[0].close()

    def mends(self, name, problem):
        entry = self._pool.entries.get(name)
        return bool(entry and entry.url and problem) and self._both()[1].mends(name, problem)

    def begin(self, name, redirect):
        return self._both()[1].begin(name, redirect)

    def answer(self, query):
        return self._both()[1].answer(query)

    def _both(self):
        with self._lock:
            if self._made is None:
                from .asking import Asking
                from .page import PageLogins
                self._made = Asking(self._clock), PageLogins(self._pool, self._clock)
            return self._made
