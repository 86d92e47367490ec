"""What a person may do to a server on the page.

Only a page of ours may ask for this: one of another site, or of another program on this machine,
sends its own Origin. The token, where there is one, was asked for before."""

import flask

from transports.fabric.messages import encode
from transports.http.replies import JSON, Reply, plain

NOT_OURS = "Only the page of this router may do that."


def acts(router, callback):
    """The views, as {path: function}, of what this router can do:

    POST /live/servers/{name}/restart, /stop    202, or 400 and why not
    POST /live/login/{name}     {"url": where its user logs in}, or 400 and why not. The browser
                                comes back from there to `callback`, a path of ours
    """
    def act(name, action):
        router.by_hand.act(action, name)
        return Reply(b"", "202 Accepted")

    def login(name):
        url = router.logins.begin(name, flask.request.host_url.rstrip("/") + callback)
        return Reply(encode({"url": url}), "200 OK", [JSON])
    return {**({"/live/servers/<name>/<action>": _guarded(act)} if router.by_hand else {}),
            **({"/live/login/<name>": _guarded(login)} if router.logins else {})}


def _guarded(view):
    def guarded(**arguments):
        if not _is_ours(flask.request):
            return plain(403, NOT_OURS)
        try:
            return view(**arguments)
        except ValueError as problem:
            return plain(400, problem)
    return guarded


def _is_ours(request):
    """Whether a page of this origin asks. Behind a proxy the Host may be another than the browser
    knows; then only the browser can tell."""
    origin = request.headers.get("Origin", "").lower()
    return request.headers.get("Sec-Fetch-Site") == "same-origin" or (
        origin.partition("://")[2] == request.host.lower())
