"""The header Authorization of a remote server, from the tokens of a login.

It is looked at before each request, so a login by another program counts at once. Tokens are
refreshed before their end, or when the server refuses them: by one router of this user at a time,
and the others take what that one has got.
"""

import logging
import threading
import time

from transports.fabric.text import hidden

from . import grant
from .attempt import last_challenge
from .discovery import challenge_in
from .tokens import Tokens
from .web import LoginFailed, Web

log = logging.getLogger("router")

EARLY = 60.0            # seconds before the end of a token, at which it is refreshed
MOST_RAISES = 3         # times in a row that more rights are asked for


def logs_in(entry):
    """Whether the server may be logged in at: its config says nothing else, and has no header of
    its own for that."""
    return bool(entry.url) and entry.oauth is not None and not entry.headers_command \
        and not any(name.lower() == "authorization" for name, _ in entry.headers)


def needs_login(entry):
    """What is said of a server that needs it."""
    what = f"--connect {entry.name} --login" if "://" in entry.name else f"--login {entry.name}"
    return f"needs login: router.py {what}"


class Bearer:
    """For one life of a server. Any thread; it may wait for the authorization server."""

    def __init__(self, entry, clock):
        self.entry, self.tokens, self.web = entry, Tokens(entry.url), Web(entry, clock)
        self._lock = threading.Lock()
        # protected by _lock; held while the authorization server is asked: who needs the tokens
        # waits for its answer
        self._stamp, self._record = None, None
        self._wanted_at = None

    def headers(self, refused=None):
        """[(name, value)] of the next request; [] without tokens. `refused`: those with which the
        server has not taken one. Raises LoginFailed."""
        with self._lock:
            stamp = self.tokens.stamp()
            if stamp != self._stamp:
                self._stamp, self._record = stamp, self.tokens.read()
                hidden.add(secrets_of(self._record))
            is_refused = any(pair in (refused or ()) for pair in _header(self._record))
            if self._record and self._record.get(grant.REFRESH) and (
                    is_refused or _ends_soon(self._record)):
                self._refresh(self._record, is_refused)
            return _header(self._record)

    def _refresh(self, record, refused):
        with self.tokens.lock():
            now = self.tokens.read()
            if now and now["access"] == record["access"]:
                now = self._refreshed(now, refused)
            self._stamp, self._record = self.tokens.stamp(), now

    def _refreshed(self, record, refused):
        """Requires the lock of the tokens. What is new is written before anybody uses it."""
        try:
            new = grant.refreshed(self.web, record)
        except grant.Refused as problem:
            log.warning("%s: its login has ended: %s", self.entry.name, problem)
            new = {**record, "access": "", grant.REFRESH: None}
            if problem.code == "invalid_client":
                new["client"] = {}      # the next login registers anew
        except LoginFailed as problem:
            if refused or record["expires"] <= time.time():
                raise
            log.warning("%s: its tokens could not be refreshed yet: %s", self.entry.name, problem)
            return record
        hidden.add(secrets_of(new), instead_of=secrets_of(record))
        self.tokens.write(new)
        return new

    def needed(self, problem):
        """What is needed before the server takes such a request, in words, if its answer, an
        HttpFailed, says that it wants a login, or one with more rights; else None."""
        status = problem.status
        if status not in (401, 403):
            return None
        challenge = challenge_in(problem.challenges)
        if status == 401:
            last_challenge(self.entry.url)[0] = challenge
        elif challenge.error != "insufficient_scope" or not self._more(challenge):
            return None
        self._wanted_at = self.tokens.stamp()
        return needs_login(self.entry)

    def _more(self, challenge):
        """Note that more rights are needed, for the next login. False if that was in vain."""
        with self._lock, self.tokens.lock():
            record = self.tokens.read()
            if not record or record.get("raised", 0) >= MOST_RAISES:
                return False
            more = [scope for scope in challenge.scope if scope not in record.get("more", [])]
            if more:
                self.tokens.write({**record, "more": [*record.get("more", []), *more]})
        last_challenge(self.entry.url)[0] = challenge
        return True

    def changed(self):
        """Whether the tokens are others than when a login was wanted."""
        return self.tokens.stamp() != self._wanted_at


def _header(record):
    return [("Authorization", f"Bearer {record['access']}")] if record and record["access"] else []


def _ends_soon(record):
    """By our own clock, which also noted when they came."""
    end = record.get("expires")
    return end and time.time() > end - min(EARLY, (end - record["got"]) / 10)


def secrets_of(record):
    """What of a record must not be shown."""
    found = (record.get("access"), record.get(grant.REFRESH), record["client"].get("secret")) \
        if record else ()
    return {secret for secret in found if secret}
