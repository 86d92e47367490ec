"""Who may talk to us over HTTP: every request passes here first, whatever its path.

A page in a browser can send requests to this machine, under a name that was made to point here
(DNS rebinding). Its Host and its Origin give it away (2025-11-25, Transports, Security Warning);
one that opens us as an image sends no Origin, but Sec-Fetch-Site. With a token the Host may be any
name, as that of this machine in a container: such a page has no token."""

import hmac
import re

from transports.program.options import LOOPBACK, host_of, host_of_origin, is_loopback

from .replies import Reply, plain

METHODS = "GET, POST, DELETE, OPTIONS"
REQUEST_HEADERS = ["Content-Type", "Accept", "Authorization", "Last-Event-ID", "Mcp-Session-Id",
                   "Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name"]
# A tool names the rest of such a header (2026-07-28).
PARAM_HEADER = re.compile(r"(?<![^ \t,])mcp-param-[\w!#$%&'*+.^`|~-]+(?![^ \t,])",
                          re.ASCII | re.IGNORECASE)


class AccessCheck:
    """Judges every request when its header is complete, before anything else of it is read."""

    def __init__(self, access, open_paths=()):
        """`access`: see program/options.py. `open_paths`: pages that need no token."""
        self._open_paths, self._token = frozenset(open_paths), access.token
        self._guards = access.guards
        self._origins = {origin.rstrip("/").lower() for origin in access.origins}
        self._hosts = LOOPBACK | {access.host.lower(), *map(host_of_origin, self._origins)}
        # Then our name can be anything, and the token keeps strangers out instead.
        self._any_host = not is_loopback(access.host) or self._token is not None

    def judge(self, method, path, header):
        """(the Reply that refuses it, or None; CORS headers for any answer)"""
        origin = header("Origin")
        is_open = method in ("GET", "HEAD") and path in self._open_paths
        if not self._any_host and (host_of(header("Host", "")) or "") not in self._hosts:
            return plain(403, "This Host is not served here: use 127.0.0.1 or localhost, or give "
                              "the router a token (--token-file): then any Host is."), []
        if not (self._is_origin(origin) if origin is not None
                else is_open or header("Sec-Fetch-Site") != "cross-site"):
            return plain(403, "This Origin is not allowed here; --allow-origin allows one."), []
        cors = [] if origin is None else [
            ("Access-Control-Allow-Origin", origin), ("Vary", "Origin"),
            ("Access-Control-Expose-Headers", "Mcp-Session-Id")]
        if method == "OPTIONS" and cors:
            # A preflight carries no token: it is answered before that is asked for.
            wanted = PARAM_HEADER.findall(header("Access-Control-Request-Headers", ""))
            return Reply(b"", "204 No Content", [
                ("Access-Control-Allow-Methods", METHODS),
                ("Access-Control-Allow-Headers", ", ".join([*REQUEST_HEADERS, *wanted])),
                ("Access-Control-Max-Age", "600")]), cors
        if not (is_open or self._has_token(header("Authorization", ""))):
            words = "The header Authorization: Bearer … is missing, or its token is wrong."
            realm = ("WWW-Authenticate", 'Bearer realm="MCP Local Router"')
            return plain(401, words, realm), cors
        refused = next(filter(None, (guard(header) for guard in self._guards)), None)
        return refused and plain(508, refused), cors

    def _is_origin(self, origin):
        return origin.lower() in self._origins or (
            origin.startswith(("http://", "https://")) and host_of_origin(origin) in LOOPBACK)

    def _has_token(self, authorization):
        scheme, _, given = authorization.partition(" ")
        given = given.strip().encode("latin-1", "replace")
        return self._token is None or (
            scheme.lower() == "bearer" and hmac.compare_digest(given, self._token))
