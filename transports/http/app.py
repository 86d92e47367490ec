"""The Flask application: the views of all paths but POSTs, and the words of every error."""

import html

import flask

from transports.fabric.session import SessionsUsedUp
from transports.http.engine.connection import client_connection_of
from transports.http.engine.reply import BUG, TEXT, Reply, plain

from .replies import PAGE_HEADERS, used_up
from .workers import StreamsUsedUp

WORDS = ("This is MCP Local Router, which stands between MCP clients and several MCP servers. "
         "Give your client one of these URLs; to see one server alone, put its name behind it.")


def create_app(router, workers, ways, pages):
    """The Flask application. Its views are run by the workers. `ways` and `pages`: see router.py;
    the parts of both have `views()`, a blueprint."""
    app = flask.Flask("router", static_folder=None)
    for part in [*ways, *pages]:
        app.register_blueprint(part.views())
    app.add_url_rule("/", "front", lambda: front_page([*ways, *pages]))
    _explain_errors(app, router, ways)

    @app.get("/health")
    def health():
        return {**router.health(), "streams": workers.streams()}

    files = {path for page in pages for path in page.open_paths()}

    @app.before_request
    def post_as_stream():
        connection = client_connection_of(flask.request.environ)
        post, connection.post = connection.post, None
        return post.as_stream() if post else None

    @app.before_request
    def no_stream_without_a_body():
        if flask.request.method == "HEAD" and flask.request.blueprint \
                and flask.request.path not in files:
            return wrong_method(["GET"])
        return None

    return app


def wrong_method(allowed, ways=()):
    """405 for the request, and what it may use instead."""
    allowed = sorted({*allowed} - {"HEAD", "OPTIONS"})
    others = [f" {way.title} is at {way.path}." for way in ways
              if flask.request.path.startswith("/sse") and way.path != "/sse"]
    return plain(405, f"Use {' or '.join(allowed)} here.{''.join(others)}",
                 ("Allow", ", ".join(allowed)))


def _explain_errors(app, router, ways):
    """Every error is a sentence that says what to do."""
    @app.errorhandler(404)
    def unknown_path(_problem):
        return plain(404, "There is nothing here. Give your client one of: " + ", ".join(
            [*(way.path for way in ways), *(f"{way.path}/{name}" for way in ways for name in
                                            [*router.names(), *router.groups])]))

    app.register_error_handler(405, lambda problem: wrong_method(problem.valid_methods, ways))
    app.register_error_handler(500, lambda _problem: BUG)
    for problem in (StreamsUsedUp, SessionsUsedUp):
        app.register_error_handler(problem, used_up)


def front_page(parts):
    """What somebody finds who opens the router's address: HTML for browsers, text for others."""
    rows = [(part.title, flask.request.host_url + part.path[1:]) for part in parts]
    types = flask.request.accept_mimetypes
    if types.quality("text/html") > types.quality("text/plain"):
        return Reply(_page(rows).encode(), "200 OK", [
            ("Content-Type", "text/html; charset=utf-8"), *PAGE_HEADERS])
    text = "\n".join([WORDS, *(f"{what}: {url}" for what, url in rows), ""])
    return Reply(text.encode(), "200 OK", [TEXT])


def _page(rows):
    items = "".join(f'<li>{what}: <a href="{url}">{url}</a>\n' for what, url in (
        (what, html.escape(url)) for what, url in rows))
    return (f'<!doctype html>\n<html lang="en">\n<meta name="color-scheme" '
            f'content="light dark">\n<title>MCP Local Router</title>\n<h1>MCP Local Router</h1>\n'
            f"<p>{WORDS}</p>\n<ul>\n{items}</ul>\n")
