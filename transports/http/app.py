"""The Flask application: the views of all paths but POSTs, and the words of every error."""

import html

import flask

from transports.fabric.session import UsedUp

from .replies import BUG, PAGE_HEADERS, TEXT, Reply, plain, used_up

WORDS = ("This is MCP Local Router, which stands between MCP clients and several MCP servers. "
         "Give your client one of these URLs; to see one server or group alone, put its name "
         "behind it: %s")
PAGE = ('<!doctype html>\n<html lang="en">\n<meta name="color-scheme" content="light dark">\n'
        '<title>MCP Local Router</title>\n<h1>MCP Local Router</h1>\n'
        f"<p>{WORDS}</p>\n<ul>\n%s</ul>\n")


def create_app(router, workers, ways, parts, files):
    """The parts have title, path and views(); whatever is not among these `files` is a stream."""
    app = flask.Flask("router", static_folder=None)
    for part in parts:
        app.register_blueprint(part.views())
    for rule in app.url_map.iter_rules():
        if rule.rule not in files:
            rule.methods.discard("HEAD")    # there is no stream without a body
    app.add_url_rule("/", "front", lambda: front_page(
        parts, ", ".join([*router.names(), *router.groups])))
    app.add_url_rule("/health", "health", lambda: {**router.health(), "streams": workers.streams})

    @app.errorhandler(404)
    def unknown_path(_problem):
        names = ["", *(f"/{name}" for name in [*router.names(), *router.groups])]
        return plain(404, "There is nothing here. Give your client one of: " + ", ".join(
            way.path + name for name in names for way in ways))

    @app.errorhandler(405)
    def wrong_method(problem):
        allowed = sorted({*problem.valid_methods} - {"HEAD", "OPTIONS"})
        allowed = ["GET"] if flask.request.method == "HEAD" else allowed
        others = [f" {way.title} is at {way.path}." for way in ways
                  if flask.request.path.startswith("/sse") and way.path != "/sse"]
        return plain(405, f"Use {' or '.join(allowed)} here.{''.join(others)}",
                     ("Allow", ", ".join(allowed)))

    app.register_error_handler(500, lambda _problem: BUG)
    app.register_error_handler(UsedUp, used_up)
    return app


def front_page(parts, names):
    """HTML for browsers, text for others."""
    rows = [(part.title, flask.request.host_url + part.path[1:]) for part in parts]
    types = flask.request.accept_mimetypes
    if types.quality("text/html") <= types.quality("text/plain"):
        lines = [WORDS % names, *map(": ".join, rows), ""]
        return Reply("\n".join(lines).encode(), "200 OK", [TEXT])
    items = "".join('<li>{0}: <a href="{1}">{1}</a>\n'.format(what, html.escape(url))
                    for what, url in rows)
    return Reply((PAGE % (html.escape(names), items)).encode(), "200 OK", [
        ("Content-Type", "text/html; charset=utf-8"), *PAGE_HEADERS])
