"""One login at one server, from the first question to the tokens in their file."""

import contextlib
import functools
import urllib.parse

from transports.fabric.text import hidden

from . import grant
from .discovery import challenge_in
from .listener import PATH, SECONDS, Listener
from .tokens import Tokens
from .web import LoginFailed, Web


@functools.lru_cache(1000)
def last_challenge(_url):
    """[the last Challenge of the server at this URL]: what it wants is known to whoever asked it,
    and used by whoever logs in."""
    return [challenge_in([])]


class Attempt:
    """The steps of one login: `begin`, `code_in` for whatever may be its answer, `finish`. Then
    `end`, however it went. Raises LoginFailed, at first if nothing could be written later."""

    def __init__(self, entry, clock, stop=lambda: False):
        self.entry, self.config = entry, dict(entry.oauth or ())
        self._clock, self._tokens, self._login = clock, Tokens(entry.url), None
        self._done = False
        with self._tokens.lock(stop):
            self.before = self._tokens.read()

    def begin(self, redirect):
        """The URL that the person is to open."""
        self._login = grant.Login(Web(self.entry, self._clock), self.entry.url, self.config,
                                  self.before, redirect, (self.before or {}).get("more", ()))
        self.state = self._login.state
        return self._login.begin(last_challenge(self.entry.url)[0])

    def code_in(self, query):
        return self._login.code_in(query)

    def finish(self, code):
        """The new record, which is written."""
        record = self._login.finish(code)
        with self._tokens.lock():
            self._tokens.write(record)
            self._tokens.forget(but=record["issuer"])
        self._done = True
        # Who uses the tokens hides that, perhaps by now.
        self._login.secrets.discard(record["client"]["secret"])
        return record

    def end(self):
        before = self.before
        if self._login:
            hidden.add((), instead_of=self._login.secrets)
        if not self._done and before and before["client"].get("redirect"):
            with self._tokens.lock():
                # Perhaps our client is not known there any more: the next login registers anew.
                if before == self._tokens.read():
                    self._tokens.write({**before, "client": {**before["client"],
                                                             "redirect": None}})


def log_in(entry, clock, show, stop, pasted=None, seconds=SECONDS):
    """Let a person log in. show(url) is called when there is something to open; `stop()` says
    whether nobody waits any more; `pasted`: see Listener. Returns the new record. Raises
    LoginFailed. Waits for the person: in a thread that may."""
    attempt = Attempt(entry, clock, stop)
    with contextlib.closing(_listener(attempt.config, attempt.before)) as listener:
        try:
            show(attempt.begin(attempt.config.get("redirectUri", listener.redirect)))
            return attempt.finish(listener.wait(attempt.code_in, stop, pasted, seconds))
        finally:
            attempt.end()


def log_out(entry, clock):
    """Forget the tokens. Returns a sentence. Raises LoginFailed."""
    tokens = Tokens(entry.url)
    with tokens.lock():
        try:
            record, untold = tokens.read(), None
        except LoginFailed as problem:      # others could have read it: it goes all the same
            record, untold = None, problem
        tokens.forget()
    if record is None and not untold:
        return "nobody was logged in"
    try:
        revoked = record and grant.revoke(Web(entry, clock), record)
    except LoginFailed as problem:
        untold = problem
    if untold:
        return f"logged out here; the authorization server was not told: {untold}"
    return "logged out" + ("" if revoked else " here; the authorization server cannot be told")


def _listener(config, before):
    """Where the browser comes back to: as the config says, or where the authorization server knows
    already, or at any port."""
    if uri := config.get("redirectUri"):
        host, port, path = _parts(uri)
        if host not in ("localhost", "127.0.0.1") or not port or not uri.startswith("http:"):
            raise LoginFailed(f'"redirectUri" must be like http://127.0.0.1:PORT{PATH}')
        return Listener(port, path)
    if port := config.get("callbackPort"):
        return Listener(port)
    _, port, path = _parts((before or {}).get("client", {}).get("redirect") or "")
    with contextlib.suppress(LoginFailed):
        return Listener(port if path == PATH else 0)
    return Listener()


def _parts(url):
    """Its host, its port and its path; no port if it is no URL."""
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.hostname, parts.port, parts.path or "/"
    except ValueError:
        return None, None, None
