"""What somebody finds who opens the router's address: what it is, and where to go on."""

import html

import flask

from .live_page import PAGE_HEADERS
from .replies import TEXT, Reply

WORDS = ("This is MCP Local Router, which stands between MCP clients and several MCP servers. "
         "Give your client one of these URLs; to see one server alone, put its name behind it.")
WAYS = {"Streamable HTTP": "mcp", "HTTP+SSE, its predecessor": "sse"}
LIVE = {"What is going on here": "live"}


def front_page(has_live_page):
    """The view of `/`: HTML for browsers, text for all others."""
    rows = [(what, flask.request.host_url + path)
            for what, path in {**WAYS, **(LIVE if has_live_page else {})}.items()]
    types = flask.request.accept_mimetypes
    if types.quality("text/html") > types.quality("text/plain"):
        return Reply("200 OK", _page(rows).encode(), [
            ("Content-Type", "text/html; charset=utf-8"), *PAGE_HEADERS]).response()
    text = "\n".join([WORDS, *(f"{what}: {url}" for what, url in rows), ""])
    return Reply("200 OK", text.encode(), [TEXT]).response()


def _page(rows):
    items = "".join(f'<li>{what}: <a href="{url}">{url}</a>\n' for what, url in (
        (what, html.escape(url)) for what, url in rows))
    return (f'<!doctype html>\n<html lang="en">\n<meta name="color-scheme" '
            f'content="light dark">\n<title>MCP Local Router</title>\n<h1>MCP Local Router</h1>\n'
            f"<p>{WORDS}</p>\n<ul>\n{items}</ul>\n")
