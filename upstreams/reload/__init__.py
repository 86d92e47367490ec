"""The room that follows the config files while the program runs.

Comes in by router.py, as a context manager around serving. May import: transports.fabric,
transports.program, upstreams.config.

In reading order:
    watch.py    the files may change while we run; SIGHUP
"""

from .watch import Watch as follow

__all__ = ["follow"]
