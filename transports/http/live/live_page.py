"""The live page: which servers and sessions there are, and each message as it passes.

    GET /live, /live/{name}     the page and its files, as they are in the folder live/
    POST …                      what a person does to a server, see acts.py
    GET /live/login/callback    where the browser comes back to from a login
    GET /live/whole/{run}/{n}   the text of a message that was cut
    GET /live/events            what it shows, as a stream of events:
        hello       {"version", "url", "run", "since": nothing from before that time is known},
                    once; another run is another router
        state       {"servers", "groups", "canAct", "sessions", "busy": [names of the sessions that
                    have calls under way]}, when that has changed; at most twice a second
        minute      how many calls were answered, see transports/tap/rates.py; when that has
                    changed, at most once a second
        log         [line, …], see server_log.py: those that are kept, then each that comes
        missed      {"missed": n, "until": the number of the last one}: so many are not told here
        messages    [message, …], see transports/tap

The files have no data in them, so they need no token: a browser sends none when it opens a page.
Nor does it when a login sends it back: what it brings proves itself. The rest needs the token."""

import html
import secrets
import time
from pathlib import Path

import flask

from transports.fabric.messages import dig, encode
from transports.fabric.session import SILENT_SECONDS
from transports.fabric.text import outline
from transports.http.replies import PAGE_HEADERS, STILL_HERE, TEXT, Reply, event, plain
from transports.tap.rates import minute
from transports.tap.tap import tap

from .acts import acts

FOLDER = Path(__file__).parent
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript",
         ".svg": "image/svg+xml"}
MINUTE_SECONDS = 1.0    # between two looks at the last minute
VISITOR_SECONDS = 600   # for which a modern client is shown after its last request
STATE_SECONDS = 0.5     # between two looks at the state: shorter than the pause before a restart
MOST_IN_EVENT = 100     # messages
TOGETHER = 16           # events that are written at once, as each write costs more than the event
CALLBACK = "/live/login/callback"
AFTER_LOGIN = ('<!doctype html>\n<html lang="en">\n'
               '<meta name="color-scheme" content="light dark">\n'
               '<link rel="icon" href="data:,">\n'
               "<title>MCP Local Router</title>\n<p>%s This page can be closed.</p>\n")


class Latest:
    """An event that is the same for all pages: one of them makes it, by `make()`, when `seconds`
    have passed since it was made last."""

    def __init__(self, seconds, make):
        self.seconds, self._make = seconds, make
        self._looked = 0.0      # when that was
        self._made = 0.0, b""   # when it was begun, and the event; replaced by one assignment

    def get(self):
        begun = time.monotonic()
        if begun - self._looked >= self.seconds:
            self._looked = begun    # first: no other page makes it meanwhile, if this is fast
            made = self._make()
            # If it was not, another page may have one of which the making began later.
            self._made, self._looked = max(self._made, (begun, made)), time.monotonic()
        return self._made[1]


class LivePage:
    """Its views, each run by a worker; that of a stream feeds it to its end."""

    title, path = "What is going on here", "/live"

    def __init__(self, router, log, workers, heartbeat):
        self._router, self._workers, self._heartbeat = router, workers, heartbeat
        self._run = secrets.token_hex(8)    # there is another one after a restart
        self.told = {"state": Latest(STATE_SECONDS, lambda: event(
                         encode(self.state()), b"state")),
                     "minute": Latest(MINUTE_SECONDS, lambda: event(
                         encode(minute(tap.seconds())), b"minute"))}
        self._closed = False
        self._log = log     # a ServerLog
        # Path → reply. No other file can be asked for, whatever the path is.
        self._files = {f"/live/{path.relative_to(FOLDER).as_posix()}": Reply(
            path.read_bytes(), "200 OK",
            [("Content-Type", f"{TYPES[path.suffix]}; charset=utf-8"), *PAGE_HEADERS])
            for path in sorted(FOLDER.rglob("*.*")) if path.suffix in TYPES}
        self._files["/live"] = self._files.pop("/live/live.html")

    def open_paths(self):
        return {*self._files, CALLBACK}

    def views(self):
        routes = flask.Blueprint("live", __name__)
        for path in self._files:
            routes.add_url_rule(path, path.replace(".", "_"),     # an endpoint has no dots
                                lambda: self._files[flask.request.path])
        routes.add_url_rule("/live/events", "/live/events", self.events)
        routes.add_url_rule("/live/whole/<run>/<int:n>", "whole", self.whole)
        for path, view in acts(self._router, CALLBACK).items():
            routes.add_url_rule(path, path.replace(".", "_"), view, methods=["POST"])
        if self._router.logins:
            routes.add_url_rule(CALLBACK, "callback", self.callback)
        return routes

    def close(self):
        """The streams end, within STATE_SECONDS."""
        self._closed = True
        self._log.close()

    def events(self):
        hello = {"version": self._router.info["version"],
                 "url": flask.request.host_url.rstrip("/"), "run": self._run}
        reader = tap.open()
        hello["since"] = tap.since()
        return self._workers.open_stream(flask.request.environ["router.connection"],
                                         self._events(hello, reader), reader.close, reader.close)

    def whole(self, run, n):
        text = tap.whole(n) if run == self._run else None
        if text is None:
            return plain(404, "The whole of this message is not kept: it was too long, or others "
                              "have come since.")
        return Reply(text.encode(), "200 OK", [TEXT, *PAGE_HEADERS])

    def callback(self):
        try:
            name = self._router.logins.answer(flask.request.query_string.decode("latin-1"))
            status, text = "200 OK", f"You are logged in at {name}."
        except ValueError as problem:
            status, text = "400 Bad Request", f"The login did not succeed: {problem}."
        return Reply((AFTER_LOGIN % html.escape(text)).encode(), status, [
            ("Content-Type", "text/html; charset=utf-8"), *PAGE_HEADERS])

    def _events(self, hello, reader):
        """Run by the worker that feeds the stream."""
        yield event(encode(hello), b"hello")
        told, said, last = {}, 0, time.monotonic()
        while not self._closed:
            for what, latest in self.told.items():
                if (made := latest.get()) and made != told.get(what):
                    told[what], last = made, time.monotonic()
                    yield made
            lines, said = self._log.after(said)
            if lines:
                yield event(b"[" + b",".join(lines) + b"]", b"log")
            if time.monotonic() - last >= self._heartbeat:
                last = time.monotonic()
                yield STILL_HERE
            found = reader.read(STATE_SECONDS)
            if found is None:
                return
            events = list(_messages(*found, reader.after))
            for at in range(0, len(events), TOGETHER):
                yield b"".join(events[at:at + TOGETHER])
                last = time.monotonic()

    def state(self):
        """It stays the same while nothing happens."""
        servers = [{"name": name, **server}
                   for name, server in self._router.health()["servers"].items()]
        for said in (each for server in servers for each in (server, *server["processes"])):
            del said["secondsUp"]
        for server in servers:
            name = server["name"]
            if entry := self._router.pool.entries.get(name):
                server["prefix"] = entry.prefix
            if self._router.logins:
                server["login"] = self._router.logins.mends(name, server["lastError"])
            if self._router.by_hand and self._router.by_hand.is_stopped(name):
                server.update(state="stopped", outlook=None)    # why, it says itself
        sessions = self._router.sessions.all()
        return {"servers": servers, "groups": self._router.groups,
                "canAct": self._router.by_hand is not None,
                "busy": [each.name for each in sessions if len(each.calls)],
                "sessions": [*(_described(each) for each in sessions if not each.is_brief),
                             *_visitors([each for each in sessions if each.is_brief])]}


def _described(session):
    """What is told of a session; it stays the same for some seconds of silence."""
    silent = session.seconds_silent() // SILENT_SECONDS * SILENT_SECONDS
    return {"name": session.name, "transport": session.transport, "surface": session.surface_name,
            "client": outline(session.client_info), "revision": session.version,
            "capabilities": outline(session.capabilities), "callsInFlight": len(session.calls),
            "silentSeconds": int(silent)}


def _visitors(requests):
    """As a session, each modern client that has lately been seen: it has none, only requests."""
    for name, (silent, transport, revision, info) in tap.visitors().items():
        if silent < VISITOR_SECONDS:
            mine = [each for each in requests if dig(each.client_info, "name") == name]
            yield {"name": f"client {name or 'without a name'}", "transport": transport,
                   "surface": None, "client": info, "revision": revision, "capabilities": {},
                   "callsInFlight": len(mine), "modern": True,
                   "silentSeconds": int(silent // SILENT_SECONDS * SILENT_SECONDS)}


def _messages(records, missed, last):
    """The events that tell of these messages, and where how many before the last are not among
    them."""
    told, lines = last - missed - len(records), []
    for n, record in [*((each.n, each) for each in records), (last + 1, None)]:
        if lines and (n > told + 1 or len(lines) == MOST_IN_EVENT or not record):
            yield event(b"[" + b",".join(lines) + b"]", b"messages")
            lines = []
        if n > told + 1:
            yield event(encode({"missed": n - told - 1, "until": n - 1}), b"missed")
        if record:
            lines.append(record.line())
        told = n
