"""What is particular to a legacy server: a revision that begins with `initialize`.

It says by itself what it has to say, and does not say on whose behalf. modern.py is its
counterpart; each life of a server has one of the two.
"""

import functools

AUTO = "auto"       # the era is to be found out; the others are LEGACY and "modern"
LEGACY = "legacy"
LATE_SECONDS = 1.0  # after an answer, for log lines that may still concern its call


class Legacy:
    """How we speak with a legacy server, in one of its lives."""

    name = LEGACY
    keeps_nothing = False   # of its clients, so that one process may serve all

    def __init__(self, upstream, life, info):
        self._upstream, self._life = upstream, life
        self.info = info    # its answer to initialize
        self.ask = functools.partial(upstream.pass_on, life)    # requests go as they are

    def listen(self, put):
        """Call put(value) when we hear what changes: it tells without being asked."""
        put(True)

    def heard(self, message):
        """What is to be passed on of a message of its own accord; None for nothing."""
        return message

    def loggers(self):
        """The sessions that a log line may concern. It may be late, and concern a call that was
        answered shortly before. None stands for a session that has ended."""
        return (self._life.pending.askers(LATE_SECONDS)
                or set(self._upstream.audience.sessions()))
