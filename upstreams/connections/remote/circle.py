"""How a router finds out that it is, by way of others, a server of its own: a circle of routers
would make names and sessions without end.

Each request to a remote server says in a header which routers it comes from: we, and those that
were seen to be above us. A router that finds itself among them refuses. So the last entry that
would close the circle fails, with a sentence; all else goes on. router.py gives `closes` to
transports/http/access_check.py.
"""

import os
import re
import secrets

HEADER = "Mcp-Router-Within"
PARENT = "MCP_ROUTER_ID"    # the environment variable that tells a server which router started it
MOST_ABOVE = 100
_ID = re.compile("[0-9a-f]{16}")

REFUSED = ("This router is, perhaps by way of others, a server of its own, which would make names "
           "and sessions without end: take the entry that leads back here out of the config.")


class Circle:
    """The one of the whole program. Any thread may call anything here."""

    def __init__(self):
        self.id = secrets.token_hex(8)
        # A router that a router starts is below it. What is further below need not be: an agent
        # may well call the router that runs it.
        parent, _, process = os.environ.get(PARENT, "").partition(":")
        os.environ[PARENT] = f"{self.id}:{os.getpid()}"
        self._set(_ID.findall(parent) if process == str(os.getppid()) else [])

    def _set(self, above):
        self._above = above[:MOST_ABOVE]
        self.header = HEADER, ",".join([self.id, *self._above])

    def closes(self, header):
        """Why a request is refused that comes from ourselves, by `header(name)`; None for others,
        which tell who is above us."""
        value = header(HEADER)
        ids = _ID.findall(value[:20 * MOST_ABOVE]) if value else ()
        if self.id in ids:
            return REFUSED
        if new := [id for id in ids if id not in self._above]:
            self._set([*new, *self._above])
        return None


circle = Circle()
