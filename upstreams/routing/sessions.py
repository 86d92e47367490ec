"""All sessions: how many there may be, and which of them makes room for another."""

import logging
import threading

from transports.fabric.session import SILENT_SECONDS, SessionsUsedUp

log = logging.getLogger("router")


def longest_silent(sessions):
    """The one to end if one has to: it has no call, and no other client has been silent for so
    long. None if all are in use."""
    silent = [(session.seconds_silent(), session) for session in sessions
              if not len(session.calls)]
    seconds, found = max(silent, key=lambda each: each[0], default=(0.0, None))
    return found if seconds >= SILENT_SECONDS else None


class Sessions:
    """The sessions that have not ended: {id: Session}."""

    def __init__(self, most):
        self._most = most
        self._lock = threading.Lock()
        self._sessions = {}  # protected by _lock

    def add(self, session):
        """False if there are as many as may be: first another has to make room."""
        with self._lock:
            if len(self._sessions) >= self._most:
                return False
            self._sessions[session.id] = session
            return True

    def longest_silent(self):
        """The session that makes room for another. Raises SessionsUsedUp if all are in use."""
        sessions = self.all()
        found = longest_silent(sessions)
        if found is None:
            without_call = sum(not len(session.calls) for session in sessions)
            log.warning("a new session was refused: %d of the %d that --max-sessions allows have "
                        "no call under way, but their clients are there", without_call,
                        self._most)
            raise SessionsUsedUp(f"There are {self._most} sessions already, which is as many as "
                                 "--max-sessions allows, and all of them are in use.")
        return found

    def remove(self, session):
        """True for the first to do so."""
        with self._lock:
            return self._sessions.pop(session.id, None) is not None

    def find(self, id):
        """The session with this id, or None."""
        with self._lock:
            return self._sessions.get(id)

    def all(self):
        with self._lock:
            return list(self._sessions.values())
