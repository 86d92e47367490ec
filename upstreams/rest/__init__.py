"""The room for servers at rest: that start at their first use, and end when nobody needs them.

Comes in by router.py, as a context manager around serving. May import: transports.fabric,
upstreams.sharing, upstreams.server, upstreams.config.

In reading order:
    README.md   for users: `"start"` and `"idle"`
    idle.py     looks which processes nobody needs, and what is to be remembered
    memory.py   what servers said last time, in files
"""

from .idle import Rest
from .memory import Memory, state_folder


def rest(pool):
    """Let the servers of this pool rest while the context lives."""
    return Rest(pool, Memory(state_folder()))
