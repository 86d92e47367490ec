"""Who may talk to us over HTTP: every request passes here first, whatever its path.

A page in a browser can send requests to a server on this machine, under a name that was made to
point here (DNS rebinding). What gives it away is its Host and its Origin, so both are checked
(2025-11-25, Transports, Security Warning). Web clients are let in by naming their origin.
"""

import hmac
from urllib.parse import urlsplit

from .options import LOOPBACK

METHODS = "GET, POST, DELETE, OPTIONS"
REQUEST_HEADERS = ("Content-Type, Accept, Authorization, Last-Event-ID, Mcp-Session-Id, "
                   "Mcp-Protocol-Version, Mcp-Method, Mcp-Name")


class Guard:
    """WSGI middleware: 403 for a wrong Host or Origin, 401 without the token, CORS headers."""

    def __init__(self, app, access):
        """Where the whole network may reach us, our name can be anything, and it is the token
        that keeps strangers out."""
        self._app = app
        self._origins = {origin.rstrip("/").lower() for origin in access.origins}
        self._hosts = LOOPBACK | {access.host.lower()} | {urlsplit(origin).hostname
                                                          for origin in self._origins}
        self._any_host = access.host not in LOOPBACK
        self._token = access.token

    def __call__(self, environ, start_response):
        origin = environ.get("HTTP_ORIGIN")
        if not self._any_host and not self._is_host(environ.get("HTTP_HOST", "")):
            return _say(start_response, "403 Forbidden", "This Host is not served here.")
        if origin is not None and not self._is_origin(origin):
            return _say(start_response, "403 Forbidden", "This Origin is not allowed here; "
                                                         "--allow-origin allows one.")
        cors = _cors(origin)
        if environ["REQUEST_METHOD"] == "OPTIONS" and origin is not None:
            # A preflight carries no token: it is answered before that is asked for.
            return _say(start_response, "204 No Content", "", cors + [
                ("Access-Control-Allow-Methods", METHODS),
                ("Access-Control-Allow-Headers", REQUEST_HEADERS),
                ("Access-Control-Max-Age", "600")])
        if not self._has_token(environ.get("HTTP_AUTHORIZATION", "")):
            return _say(start_response, "401 Unauthorized", "The header Authorization: Bearer … "
                        "is missing, or its token is wrong.", cors + [
                            ("WWW-Authenticate", 'Bearer realm="MCP Local Router"')])
        if not cors:
            return self._app(environ, start_response)
        return self._app(environ, lambda status, headers, *more: start_response(
            status, headers + cors, *more))

    def _is_host(self, host):
        return _hostname(f"//{host}") in self._hosts

    def _is_origin(self, origin):
        return origin.lower() in self._origins or (
            origin.startswith(("http://", "https://")) and _hostname(origin) in LOOPBACK)

    def _has_token(self, authorization):
        if self._token is None:
            return True
        scheme, _, given = authorization.partition(" ")
        given = given.strip().encode("latin-1", "replace")
        return scheme.lower() == "bearer" and hmac.compare_digest(given, self._token)


def _hostname(url):
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _cors(origin):
    if origin is None:
        return []
    return [("Access-Control-Allow-Origin", origin), ("Vary", "Origin"),
            ("Access-Control-Expose-Headers", "Mcp-Session-Id")]


def _say(start_response, status, words, headers=()):
    body = (words + "\n").encode() if words else b""
    start_response(status, [*headers, *([("Content-Type", "text/plain; charset=utf-8"),
                                         ("Content-Length", str(len(body)))] if body else [])])
    return [body] if body else []
