"""The room that follows the config files while the program runs.

Comes in by router.py, as a context manager around serving. May import: transports.fabric,
transports.program, upstreams.config, upstreams.server, upstreams.sharing, upstreams.routing.

In reading order:
    watch.py    the files may change while we run; SIGHUP
    reload.py   from one config to the next, while sessions are open
    by_hand.py  a person starts a server again, or stops it
"""

import contextlib

from .by_hand import ByHand
from .reload import reload
from .watch import Watch


@contextlib.contextmanager
def follow(config, load, router, hide, looks):
    """Follow the files of this Config while the context lives; `load` reads them again.

    `hide(secrets)` is told of what must not be shown. Without `looks`, only SIGHUP counts. The
    value is for a page, see ByHand."""
    def use(config):
        hide(config.secrets())
        reload(router, config)
    with Watch(config, load, use, looks) as watch:
        yield ByHand(router, watch.do)
