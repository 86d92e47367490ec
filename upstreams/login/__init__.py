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

import contextlib

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


@contextlib.contextmanager
def logins(pool, clock):
    """Calls of this pool may ask their users to log in; the value is for the page, see PageLogins.
    """
    from .asking import Asking
    from .page import PageLogins
    with contextlib.closing(Asking(clock)) as asking:
        pool.watch = asking.watch
        yield PageLogins(pool, clock)
