"""Asking what a server names: metadata, and the endpoints of an authorization server.

A hostile server could name anything. So an address is https, or on this machine if the server
itself is; what comes back has a bound in bytes and time; and our headers for the server go along
with nothing here."""

import contextlib
import http.client
import ipaddress
import json
import time
import urllib.parse

from upstreams.connections.remote.connection import HttpFailed, Origin, ServerConnection, in_words

MOST_BYTES = 2**16      # of an answer
SECONDS = 10.0          # that one may take, with its redirects
MOST_REDIRECTS = 3
REDIRECTS = 301, 302, 303, 307, 308
LONGEST_URL = 2000      # characters

_AGENT = "User-Agent", "mcp-local-router"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"


class LoginFailed(ValueError):
    """There is no login, or not any more; the text says why. It shows nothing secret."""


class NotThisLogin(LoginFailed):
    """An answer that is not to this login."""


class Web:
    """Used for one server; `clock` ends what takes too long."""

    def __init__(self, entry, clock):
        self._entry, self._clock = entry, clock
        self._server = Origin(entry.url)
        self._used = []     # the connections of what is being asked; the last one is in use

    def checked(self, url, what):
        """The URL, if it may be asked. Raises LoginFailed."""
        self._origin(url, what)
        return url

    def _origin(self, url, what):
        if not isinstance(url, str) or len(url) > LONGEST_URL or not url.isprintable():
            raise LoginFailed(f"{what} is no URL")
        try:
            origin = Origin(url)
        except ValueError as problem:
            raise LoginFailed(f"{what}: {problem}") from None
        if origin.is_here and not self._server.is_here:
            raise LoginFailed(f"{what} is on this machine, and the server is not")
        if not origin.secure and not origin.is_here:
            raise LoginFailed(f"{what} must begin with https://")
        if str(origin) == str(self._server):
            entry = self._entry
            return Origin(url, entry.ca, entry.certificate, entry.key)
        return origin

    def get(self, url, what):
        """The JSON object at the URL; None if there is none, whatever is there instead. Raises
        LoginFailed if nobody answers."""
        status, data = self._ask("GET", url, what, [("Accept", JSON)], b"")
        return _object_in(data) if status == 200 else None

    def post(self, url, what, form=None, value=None, headers=()):
        """(status, JSON object) that a form, or else a value in JSON, is answered with."""
        body = json.dumps(value) if form is None else urllib.parse.urlencode(form)
        kind = JSON if form is None else FORM
        status, data = self._ask("POST", url, what, [("Accept", JSON), ("Content-Type", kind),
                                                     *headers], body.encode())
        return status, _object_in(data) or {}

    def _ask(self, method, url, what, headers, body):
        used, end = [], time.monotonic() + SECONDS
        self._used, event = used, self._clock.after(SECONDS, _abort, used)
        try:
            return self._follow(used, end, url, what, method, headers, body)
        except LoginFailed:
            raise
        except HttpFailed as problem:
            raise LoginFailed(f"{what} cannot be reached: {problem}") from None
        except (OSError, ValueError, http.client.HTTPException) as problem:
            words = "timed out" if time.monotonic() >= end else in_words(problem)
            raise LoginFailed(f"{what} does not answer: {words}") from None
        finally:
            self._clock.forget(event)

    def stop(self, seconds):
        """What is being asked may take so long yet. Any thread."""
        self._clock.after(seconds, _abort, self._used)

    def _follow(self, used, end, url, what, method, headers, body):
        for _ in range(MOST_REDIRECTS + 1):
            origin = self._origin(url, what)
            used.append(ServerConnection(origin))
            with contextlib.closing(used[-1]) as connection:
                if time.monotonic() >= end:     # nobody aborts this one any more
                    raise TimeoutError
                connection.connect()
                self._refuse_this_machine(connection, origin, what)
                answer = connection.ask(method, origin.target, [_AGENT, *headers], body)
                location = answer.headers.get("location")
                if method == "POST" or not location or answer.status not in REDIRECTS:
                    data = answer.read(MOST_BYTES + 1)
                    if time.monotonic() >= end:     # this may only be its beginning
                        raise TimeoutError
                    return answer.status, data
            url = urllib.parse.urljoin(url, location)
            if not url.startswith(f"{origin.scheme}:"):
                raise LoginFailed(f"{what} redirects to another scheme")
        raise LoginFailed(f"{what} redirects too often")

    def _refuse_this_machine(self, connection, origin, what):
        """A name may have been made to point here."""
        if origin.is_here or self._server.is_here or origin.proxy:
            return
        address = ipaddress.ip_address(connection.sock.getpeername()[0].partition("%")[0])
        if address.is_loopback or getattr(address, "ipv4_mapped", None) \
                and address.ipv4_mapped.is_loopback:
            raise LoginFailed(f"{what} is on this machine, and the server is not")


def _abort(used):
    if used:
        used[-1].abort("timed out")


def _object_in(data):
    """The JSON object in these bytes; None if that is something else, or too long, or has half of
    a character in it, which could not be sent back."""
    try:
        value = json.loads(data) if len(data) <= MOST_BYTES else None
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
