"""The Flask application: the views of all paths but POSTs, and the words of every error."""

import html

import flask

from transports.fabric.session import SessionsUsedUp

from .replies import BUG, PAGE_HEADERS, TEXT, Reply, plain, used_up
from .workers import StreamsUsedUp

WORDS = ("This is MCP Local Router, which stands between MCP clients and several MCP servers. "
         "Give your client one of these URLs; to see one server alone, put its name behind it.")
PAGE = ('<!doctype html>\n<html lang="en">\n<meta name="color-scheme" content="light dark">\n'
        '<title>MCP Local Router</title>\n<h1>MCP Local Router</h1>\n'
        f"<p>{WORDS}</p>\n<ul>\n%s</ul>\n")


def create_app(router, workers, ways, pages, files):
    """The Flask application. `ways` and `pages`: see router.py; the parts of both have `views()`,
    a blueprint. What is not among the `files` of pages is a stream."""
    app = flask.Flask("router", static_folder=None)
    for part in [*ways, *pages]:
        app.register_blueprint(part.views())

    @app.get("/")
    def front_page():
        """HTML for browsers, text for others."""
        rows = [(part.title, flask.request.host_url + part.path[1:]) for part in [*ways, *pages]]
        types = flask.request.accept_mimetypes
        if types.quality("text/html") <= types.quality("text/plain"):
            return Reply("\n".join([WORDS, *map(": ".join, rows), ""]).encode(), "200 OK", [TEXT])
        items = "".join('<li>{0}: <a href="{1}">{1}</a>\n'.format(what, html.escape(url))
                        for what, url in rows)
        return Reply((PAGE % items).encode(), "200 OK", [
            ("Content-Type", "text/html; charset=utf-8"), *PAGE_HEADERS])

    @app.get("/health")
    def health():
        return {**router.health(), "streams": workers.streams}

    @app.before_request
    def no_stream_without_a_body():
        asked = flask.request
        is_stream = asked.blueprint and asked.path not in files
        return wrong_method(["GET"]) if is_stream and asked.method == "HEAD" else None

    @app.errorhandler(404)
    def unknown_path(_problem):
        names = ["", *(f"/{name}" for name in [*router.names(), *router.groups])]
        return plain(404, "There is nothing here. Give your client one of: " + ", ".join(
            way.path + name for name in names for way in ways))

    def wrong_method(allowed):
        """405 for the request, and what it may use instead."""
        allowed = sorted({*allowed} - {"HEAD", "OPTIONS"})
        others = [f" {way.title} is at {way.path}." for way in ways
                  if flask.request.path.startswith("/sse") and way.path != "/sse"]
        return plain(405, f"Use {' or '.join(allowed)} here.{''.join(others)}",
                     ("Allow", ", ".join(allowed)))

    app.register_error_handler(405, lambda problem: wrong_method(problem.valid_methods))
    app.register_error_handler(500, lambda _problem: BUG)
    for problem in (StreamsUsedUp, SessionsUsedUp):
        app.register_error_handler(problem, used_up)
    return app
