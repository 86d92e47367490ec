"""From a modern message to its session, and what is answered without any server."""

import math

from transports.fabric.messages import (CAPABILITIES_KEY, CLIENT_INFO_KEY, INVALID_PARAMS,
                                        LOG_LEVEL_KEY, LOG_LEVELS, METHOD_NOT_FOUND,
                                        MODERN_REVISION, MOST_SAID, REVISIONS, SERVER_UNAVAILABLE,
                                        VERSION_KEY, Refused, check_said, dig, params_of)
from transports.fabric.session import UsedUp

from .answers import discovered
from .listening import Subscribers, listen
from .parked import Parked
from .request_session import RequestSession
from .tasks import LISTEN, METHODS, by_task

UNSUPPORTED_VERSION = -32022    # 2026-07-28, UnsupportedProtocolVersionError
OPEN_SECONDS = 8.0      # for servers to start, as some clients wait 10 for server/discover
VERSIONS = [MODERN_REVISION, *reversed(REVISIONS)]
# What `_meta` says of a client, and what it must say.
SAID = {VERSION_KEY: str, CAPABILITIES_KEY: dict, CLIENT_INFO_KEY: dict, LOG_LEVEL_KEY: str}
NEEDED = dict.fromkeys((VERSION_KEY, CAPABILITIES_KEY))

# What earlier revisions have, and this one has not; nor would a server be asked that knows them.
GONE = {"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe",
        "tasks/result", "tasks/list"}


class Stateless:
    """One for each transport. Any thread may call anything here.

    serves(exchange, session) is called before anything else happens there;
    begins(session, message, exchange) when it is known which servers a session sees, and may raise
    Refused."""

    def __init__(self, router, serves=lambda exchange, session: None,
                 begins=lambda session, message, exchange: None):
        self.router, self.parked = router, Parked(router.clock)
        self.serves, self.begins = serves, begins
        self.subscribers = Subscribers()
        self._requests = {"server/discover": self._discover, LISTEN: listen,
                          **dict.fromkeys(METHODS, by_task), **dict.fromkeys(GONE, _gone)}

    def serve(self, message, exchange, transport, name=None, pipe=None, size=math.inf):
        """Begin what a request asks for; the answer goes to `exchange`, now or later. Returns its
        session, to which `left(exchange)` says that its client has gone. Raises Refused, and
        LookupError if there is no server or group of this name.

        `pipe`: the session of the pipe by which it came. `size`: its bytes, if that is known."""
        meta = checked_meta(message)
        if size > MOST_SAID / 4:    # what is shorter cannot become so long by being encoded anew
            check_said(meta[CAPABILITIES_KEY], meta.get(CLIENT_INFO_KEY))
        if session := self.parked.take(message, transport, name):
            self.serves(exchange, session)
            session.resume(meta, message, exchange)
            return session
        try:
            session = self.router.open(transport, name, RequestSession)
        except UsedUp as problem:
            raise Refused(SERVER_UNAVAILABLE, str(problem)) from None
        self.serves(exchange, session)
        try:
            session.begin(self, pipe, meta, message, exchange)
        except Exception:
            self.router.leave(session)
            raise
        return session

    def route(self, session, message, call):
        """Pass the request on to where it belongs. Raises Refused."""
        route = self._requests.get(message["method"])
        if route:
            route(session, message, call)
        else:
            session.surface.request(session, message, call)

    def _discover(self, session, _message, call):
        """As initialize, it waits for servers that are still starting, but not for long.

        Another router is told to begin with initialize. It may have legacy clients and we legacy
        servers, and requests that stand alone would take from these what a session keeps for
        them: a process of their own, and news of their roots."""
        if dig(session.client_info, "name") == self.router.info["name"]:
            raise Refused(METHOD_NOT_FOUND, "Method not found: server/discover: one router meets "
                                            "another with initialize")

        def answer():
            try:
                call.send(discovered(call.id, session.surface.initialize(session), VERSIONS))
            except Refused as problem:
                call.send(problem.answer(call.id))
        self.when_opened(session, answer)

    def when_opened(self, session, function):
        self.router.when_opened(session, function, OPEN_SECONDS)


def _gone(_session, message, _call):
    raise Refused(METHOD_NOT_FOUND, f"Method not found: {message['method']} is not a part of "
                                    f"revision {MODERN_REVISION}")


def checked_meta(message):
    """What the request says of its client: {key of `_meta`: value}. Raises Refused if that is not
    what it must be (2026-07-28, General fields, _meta)."""
    meta = params_of(message).get("_meta")
    meta = meta if isinstance(meta, dict) else {}
    version = meta.get(VERSION_KEY)
    if version != MODERN_REVISION and isinstance(version, str):
        raise unsupported(version)
    said = {}
    for key, value in {**NEEDED, **meta}.items():
        if key in SAID:
            said[key] = value
            if not isinstance(value, SAID[key]):
                kind = "an object" if SAID[key] is dict else "a string"
                raise Refused(INVALID_PARAMS, f"params._meta must have {key}, {kind}")
    if said.get(LOG_LEVEL_KEY, LOG_LEVELS[0]) not in LOG_LEVELS:
        raise Refused(INVALID_PARAMS, f"params._meta: {LOG_LEVEL_KEY} is one of "
                                      f"{', '.join(LOG_LEVELS)}")
    return said


def unsupported(version):
    """The Refused for another version. A legacy one is supported, but not without a session."""
    supported = [MODERN_REVISION] if version in VERSIONS else VERSIONS
    return Refused(UNSUPPORTED_VERSION, "Unsupported protocol version",
                   {"supported": supported, "requested": version[:100]})
