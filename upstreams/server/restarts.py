"""When a server that has ended is started again.

After a pause that doubles with each failure in a row. A server that was healthy for long enough
before it failed starts the count anew. After too many failures in a row it is left alone. A
server that could not even be started the first time is left alone at once: mostly its config is
wrong. A remote server that has only forgotten our session gets a new one at once.
"""

import logging
import math
import time

log = logging.getLogger("router")

LONGEST_PAUSE = 60.0    # seconds before a server is started again
SOON = 10.0             # seconds after such a restart at once, in which the next one has a pause
LOOK_AGAIN = 0.5        # seconds, while the process of its last life has not ended yet


class Restarts:
    """The failures of one server. A failure is followed by a restart, never by a second failure,
    so its threads (of the connection, the clock) take turns and need no lock."""

    def __init__(self, upstream, clock, pool):
        self.count = 0          # how often it was started again
        self.given_up = False   # whether it will not be started again
        self.stopped = False    # the same, but only because no session used it; set by the Pool
        self._failures = 0      # in a row
        self._last_at_once = -math.inf  # by time.monotonic(): when a session was forgotten
        self._upstream, self._clock, self._pool = upstream, clock, pool

    def plan(self, life, hopeless, least_pause=None):
        """This life has failed. Let the clock begin the next one, unless it would be one too many
        or is `hopeless`, or no session would use it. A `least_pause` of 0: it is no failure."""
        entry = self._upstream.entry
        if least_pause == 0 and time.monotonic() - self._last_at_once > SOON:
            self._last_at_once = time.monotonic()
            self.at_once()
            return
        if life.running_since and time.monotonic() - life.running_since >= entry.healthy:
            self._failures = 0
        self._failures += 1
        if not hopeless and self._pool.stops(self._upstream):
            return
        if self._failures <= entry.restart_attempts and not hopeless:
            doublings = min(self._failures - 1, 64)  # 2 ** 1024 would be too large for a float
            pause = min(entry.restart_pause * 2 ** doublings, LONGEST_PAUSE)
            self._clock.after(max(pause, least_pause or 0), self._restart)
            return
        self.given_up = True
        if self.count:
            log.error('server "%s" is not started again: it failed %d times in a row',
                      entry.name, self._failures)
        self._upstream.audience.lists_changed()  # what it had in an earlier life is gone for good

    def at_once(self):
        """It has ended because of how we began, and is started again in another way; or it has
        only forgotten us. That is no failure."""
        self._clock.after(0, self._restart, False)

    def _restart(self, failed=True):
        """Called by the clock."""
        if failed and self._pool.stops(self._upstream):
            return
        if self._upstream.wait_closed(0):
            self.count += failed
            self._pool.start_again(self._upstream)
        else:  # never two lives at once: they may share files
            self._clock.after(LOOK_AGAIN, self._restart, failed)
