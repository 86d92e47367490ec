"""The Flask application: the views of all paths but POSTs, and the words of every error."""

import flask

from transports.fabric.session import SessionsUsedUp
from transports.http.engine.connection import client_connection_of

from .front_page import front_page
from .replies import BUG, plain, used_up
from .stream_threads import StreamsUsedUp


def create_app(router, stream_threads, ways, pages):
    """The Flask application. Its views are run by waitress's workers.

    `ways` and `pages`: see router.py; the parts of both have `views()`, a blueprint.
    """
    app = flask.Flask("router", static_folder=None)
    for part in [*ways, *pages]:
        app.register_blueprint(part.views())
    app.add_url_rule("/", "front", lambda: front_page([*ways, *pages]))
    _explain_errors(app, router, ways)

    @app.after_request
    def tell_web_pages(response):
        (request, *_) = client_connection_of(flask.request.environ).requests
        response.headers.extend(request.cors)
        return response

    @app.get("/health")
    def health():
        return {**router.health(), "streams": stream_threads.count()}

    # A POST bypasses Flask, see posts.py: this is for the error of other methods.
    app.add_url_rule("/message", "message", methods=["POST"])

    files = {path for page in pages for path in page.open_paths()}

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
                 ("Allow", ", ".join(allowed))).response()


def _explain_errors(app, router, ways):
    """Every error is a sentence that says what to do."""
    @app.errorhandler(404)
    def unknown_path(_problem):
        return plain(404, "There is nothing here. Give your client one of: " + ", ".join(
            [*(way.path for way in ways), *(f"{way.path}/{name}" for way in ways for name in
                                            [*router.names(), *router.groups])])).response()

    app.register_error_handler(405, lambda problem: wrong_method(problem.valid_methods, ways))

    for problem in (StreamsUsedUp, SessionsUsedUp):
        app.register_error_handler(problem, lambda problem: used_up(problem).response())

    @app.errorhandler(500)
    def bug(_problem):
        return BUG.response()
