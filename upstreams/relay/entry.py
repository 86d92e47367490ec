"""The URL of --connect as a server: its Entry, as if a config had it."""

from transports.fabric.text import log, redacted
from upstreams.config.entries import Entry
from upstreams.connections.remote.connection import LONGEST_URL, Origin


def entry_for(url, token=None, is_meant=False, in_clear=None):
    """The Entry of the server at this URL; `token` (bytes) goes with each request. But only to
    this machine unless it `is_meant` for that server: the environment's is the token of routers.
    in_clear({"url": url}) tells which parts of it are secret, see the room `advice`.

    Raises ValueError if this is no URL."""
    secrets = tuple(in_clear({"url": url}).values()) if in_clear else ()
    try:
        origin = Origin(url)
    except ValueError as problem:
        raise ValueError(f"--connect {redacted(secrets, url, LONGEST_URL)}: {problem}, as "
                         "http://127.0.0.1:8080/mcp") from None
    if token and not is_meant and not origin.is_here:
        log.warning("MCP_ROUTER_TOKEN is not sent to %s: only --token-file is, to other machines",
                    origin)
        token = None
    tokens = (token.decode("latin-1"),) if token else ()
    path = origin.target.partition("?")[0]      # a query may be secret
    return Entry(
        name=redacted(secrets, origin.url_of(path), LONGEST_URL),   # for logs
        url=url, type="sse" if path.endswith("/sse") else None,
        secrets=tuple(sorted((*tokens, *secrets), key=len, reverse=True)),
        headers=tuple(("Authorization", f"Bearer {token}") for token in tokens))
