"""One login at one server, from the first question to the tokens in their file."""

import contextlib
import functools
import urllib.parse

from transports.fabric.text import hidden

from . import grant
from .discovery import challenge_in
from .listener import PATH, SECONDS, Listener, can_listen
from .tokens import Tokens
from .web import LoginFailed, Web


@functools.lru_cache(1000)
def last_challenge(_url):
    """[the last Challenge of the server at this URL]: what it wants is known to whoever asked it,
    and used by whoever logs in."""
    return [challenge_in([])]


def log_in(entry, clock, show, stop, pasted=None, seconds=SECONDS):
    """Let a person log in. show(url) is called when there is something to open; `stop()` says
    whether nobody waits any more; `pasted`: see Listener. Returns the new record, which is
    written. Raises LoginFailed. Waits for the person: in a thread that may."""
    tokens, config = Tokens(entry.url), dict(entry.oauth or ())
    with tokens.lock():     # before anybody is asked: what comes of it can be written
        before = tokens.read()
    with contextlib.closing(_listener(config, before)) as listener:
        redirect = config.get("redirectUri", listener.redirect)
        login = grant.Login(Web(entry, clock), entry.url, config, before, redirect,
                            before.get("more", ()) if before else ())
        try:
            show(login.begin(last_challenge(entry.url)[0]))
            code = listener.wait(login.code_in, stop, pasted, seconds)
            record = login.finish(code)
        except LoginFailed:
            with tokens.lock():
                if before and not before.get(grant.REFRESH) and before == tokens.read():
                    tokens.write({**before, "client": {}})  # which it may not know any more
            raise
        finally:
            hidden.add((), instead_of=login.secrets)
    with tokens.lock():
        tokens.write(record)
        tokens.forget(but=record["issuer"])
    return record


def log_out(entry, clock):
    """Forget the tokens. Returns a sentence. Raises LoginFailed."""
    tokens = Tokens(entry.url)
    with tokens.lock():
        record = tokens.read()
        tokens.forget()
    if record is None:
        return "nobody was logged in"
    try:
        revoked = grant.revoke(Web(entry, clock), record)
    except LoginFailed as problem:
        return f"logged out here; the authorization server was not told: {problem}"
    return "logged out" + ("" if revoked else " here; the authorization server cannot be told")


def _listener(config, before):
    """Where the browser comes back to: as the config says, or where the authorization server knows
    already, or at any port."""
    if uri := config.get("redirectUri"):
        parts = urllib.parse.urlsplit(uri)
        if parts.scheme != "http" or parts.hostname not in ("localhost", "127.0.0.1") \
                or not parts.port:
            raise LoginFailed(f"{uri} is no address of this machine, as "
                              f"http://127.0.0.1:PORT{PATH}")
        return Listener(parts.port, parts.path)
    if port := config.get("callbackPort"):
        return Listener(port)
    known = before and before["client"].get("redirect")
    port = known and urllib.parse.urlsplit(known).port
    return Listener(port if port and can_listen(port) else 0)
