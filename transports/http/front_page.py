"""What somebody finds who opens the router's address: what it is, and where to go on."""

import html

import flask

from .replies import PAGE_HEADERS, TEXT, Reply

WORDS = ("This is MCP Local Router, which stands between MCP clients and several MCP servers. "
         "Give your client one of these URLs; to see one server alone, put its name behind it.")


def front_page(parts):
    """The view of `/`: HTML for browsers, text for all others; `parts` have a title and a path."""
    rows = [(part.title, flask.request.host_url + part.path[1:]) for part in parts]
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
