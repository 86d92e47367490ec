"""The header Authorization of a remote server, from the tokens of a login.

It is looked at before each request, so a login by another program counts at once. Tokens are
refreshed before their end, or when the server refuses them: by one router of this user at a time,
and the others take what that one has got."""

import threading
import time

from transports.fabric.text import hidden, log

from . import grant
from .attempt import last_challenge
from .discovery import MOST_SCOPES, challenge_in
from .tokens import Tokens
from .web import LoginFailed, Web

EARLY = 60.0            # seconds before the end of a token, at which it is refreshed
PAUSE = 10.0            # seconds after a refresh that failed, before the next one
GRACE = 2.0             # seconds for one that is under way when the server is closed
MOST_RAISES = 3         # times in a row that more rights are asked for


def logs_in(entry):
    """Whether the server may be logged in at: its config says nothing else, and has no header of
    its own for that."""
    return bool(entry.url) and entry.oauth is not None and not entry.headers_command \
        and not any(name.lower() == "authorization" for name, _ in entry.headers)


def needs_login(entry):
    """What is said of a server that needs it. The name of one of --connect has no query."""
    query = "?…" if "?" in entry.url else ""
    what = (f"--connect {entry.name}{query} --login, or give its token with --token-file"
            if "://" in entry.name else f"--login {entry.name}")
    return f"needs login: router.py {what}"


class Bearer:
    """For one life of a server. Any thread; it may wait for the authorization server."""

    def __init__(self, entry, clock):
        self.entry, self.tokens, self.web = entry, Tokens(entry.url), Web(entry, clock)
        self._lock, self._stopped = threading.Lock(), threading.Event()
        # protected by _lock; held while the authorization server is asked: who needs the tokens
        # waits for its answer
        self._seen, self._stamp, self._record = None, [], None  # when the file was read, and it
        self._problem, self._again = None, 0.0  # why no refresh makes sense before this moment

    def headers(self, refused=None):
        """[(name, value)] of the next request; [] without tokens. `refused`: those with which the
        server has not taken one. Raises LoginFailed."""
        with self._lock:
            seen = self.tokens.quick_stamp()    # first: what is written later is seen later
            if seen != self._seen:
                self._look(self.tokens.read)
                self._seen = seen
            record = self._record
            is_refused = any(pair in (refused or ()) for pair in _header(record))
            if record and record.get(grant.REFRESH) and (is_refused or _ends_soon(record)):
                self._refresh(record, is_refused)
            return _header(self._record)

    def _look(self, read):
        """Requires _lock."""
        stamp, before, record = self.tokens.stamp(), secrets_of(self._record), read()
        self._stamp, self._record = stamp, record
        hidden.add(secrets_of(record), instead_of=before)

    def _refresh(self, record, is_refused):
        """Requires _lock. After a failure nobody asks for a while: each call would wait for it."""
        try:
            if time.monotonic() < self._again:
                raise LoginFailed(self._problem)
            with self.tokens.lock(self._stopped.is_set):
                self._look(lambda: self._refreshed(record))
                self._seen, self._stamp = self.tokens.quick_stamp(), self.tokens.stamp()
        except LoginFailed as problem:
            if time.monotonic() >= self._again:
                self._problem, self._again = str(problem), time.monotonic() + PAUSE
                log.warning("%s: its tokens could not be refreshed: %s", self.entry.name, problem)
            if is_refused or record["expires"] <= time.time():
                raise

    def _refreshed(self, record):
        """Requires the lock of the tokens. What is new is written before anybody uses it."""
        now = self.tokens.read()
        if not now or now["access"] != record["access"]:
            return now      # another router was first
        try:
            new = grant.refreshed(self.web, now)
        except grant.Refused as problem:
            log.warning("%s: its login has ended: %s", self.entry.name, problem)
            new = {**now, "access": "", grant.REFRESH: None}
            if problem.code == "invalid_client":
                new["client"] = {}      # the next login registers anew
        hidden.add(secrets_of(new))
        try:
            self.tokens.write(new)
        except LoginFailed as problem:  # the old ones may be worth nothing any more
            log.error("%s: its new tokens will be lost with this router: %s", self.entry.name,
                      problem)
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
        return needs_login(self.entry)

    def _more(self, challenge):
        """Note that more rights are needed, for the next login. False if that was in vain."""
        try:
            with self._lock, self.tokens.lock(self._stopped.is_set):
                record = self.tokens.read() or {}
                had = record.get("more", [])
                more = [*had, *(each for each in challenge.scope if each not in had)]
                if record and more[:MOST_SCOPES] != had:
                    self.tokens.write({**record, "more": more[:MOST_SCOPES]})
                    if record == self._record:  # else somebody has just logged in
                        self._look(self.tokens.read)
        except LoginFailed as problem:
            log.warning("%s: %s", self.entry.name, problem)
            return False
        last_challenge(self.entry.url)[0] = challenge
        return record.get("raised", 0) < MOST_RAISES

    def stop(self):
        """This life has ended. A refresh that is under way may have made new tokens: it is waited
        for, a little."""
        self._stopped.set()
        self.web.stop(GRACE)

    def changed(self):
        """Whether the tokens are others than those that were sent last."""
        return self.tokens.stamp() != self._stamp


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
