"""How a router finds out that it is, by way of others, a server of its own: a circle of routers
would make names and sessions without end.

Each request to a remote server says in a header which routers it comes from: we, and those that
were seen to be above us. A router that finds itself among them refuses. So the last entry that
would close the circle fails, with a sentence; all else goes on.
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
        self.for_children = {PARENT: f"{self.id}:{os.getpid()}"}
        # A router that a router starts is below it. What is further below need not be: an agent
        # may well call the router that runs it.
        parent, _, process = os.environ.get(PARENT, "").partition(":")
        self._set(_ID.findall(parent) if process == str(os.getppid()) else [])

    def _set(self, above):
        self._above = above[:MOST_ABOVE]
        self.header = HEADER, ",".join([self.id, *self._above])

    def closes(self, header):
        """Whether a request with this header (or None) comes from ourselves. If not, it tells who
        is above us."""
        ids = _ID.findall(header[:20 * MOST_ABOVE]) if header else ()
        if self.id in ids:
            return True
        if new := [id for id in ids if id not in self._above]:
            self._set([*new, *self._above])
        return False


circle = Circle()
