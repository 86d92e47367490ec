"""The room for servers of revision 2026-07-28, beside those that begin with `initialize`.

Comes in by router.py, as another way to open a life of a server. May import: transports.fabric,
upstreams.server.

In reading order:
    README.md       the four cells, and one question hop by hop
    era.py          which era a server speaks: the first messages of each of its lives
    modern.py       what is particular to a server of revision 2026-07-28
    questions.py    what such a server wants to know becomes questions to the session
    listening.py    what it tells of its own accord: one subscription for all
"""

from .era import Opening as open_life

__all__ = ["open_life"]
