"""One life of a server, from the start of its process to the end of it.

An Upstream (upstream.py) replaces its life by one assignment. So a thread that reads
`upstream.life` once has a state, a connection and tables that belong together.
"""

from transports.fabric.passing import passing
from transports.fabric.pending import Calls, PendingRequests
from transports.fabric.session import Gate

from .legacy import Legacy

RESTING, STARTING, RUNNING, FAILED, CLOSING = (
    "resting", "starting", "running", "failed", "closing")


class Life:
    """What belongs to one life, and ends with it."""

    def __init__(self, upstream, connection, ids):
        self.state = RESTING                    # changed under the Upstream's lock
        self.connection = connection
        self.name = upstream.name
        self._upstream = upstream
        self.pending = PendingRequests(ids)     # what we asked the server
        self.calls = Calls(upstream)            # what the server asked and nobody answered yet
        self.era = Legacy(upstream, self, {})   # or Modern; not known before it is running
        self.opening = None                     # the first messages, from its start on
        self.settled_gate = Gate()              # opens when it has started, or has failed to
        self.settled = False                    # whether it has started
        self.started = None                     # when, by time.monotonic()
        self.deadline = None                    # of the start: an event of the clock
        self.running_since = None               # when it said what it can do

    def send(self, message, call=None):
        """Send the server a message as it is. `call`: the Call on whose behalf, or None."""
        if passing.watched:
            passing.observer.to_server(self._upstream, message, call)
        self.connection.send(message)

    def seconds_to_start(self):
        return self.running_since - self.started
