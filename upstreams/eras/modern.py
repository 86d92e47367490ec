"""What is particular to a modern server: revision 2026-07-28, without sessions.

Each request says whose it is. A question is part of an answer (questions.py), and what changes is
told on one stream that we ask for (listening.py). So one process can serve everybody. This file
is the translator: legacy requests that this era lacks are answered here.
"""

from transports.fabric.messages import MODERN_REVISION, VERSION_KEY, params_of, result, with_params
from upstreams.server.catalog import CHANGED

from .listening import ACKNOWLEDGED, UPDATED, Listening
from .questions import MAY_ASK, Rounds

MODERN = "modern"

# Keys of `_meta` (2026-07-28, General fields, _meta).
CLIENT_INFO = "io.modelcontextprotocol/clientInfo"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
SERVER_INFO = "io.modelcontextprotocol/serverInfo"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


def meta_of(client, log_level=None):
    """What each request says of its client: {"clientInfo": …, "capabilities": …}."""
    level = {LOG_LEVEL: log_level} if log_level else {}
    return {VERSION_KEY: MODERN_REVISION, CLIENT_INFO: client["clientInfo"],
            CAPABILITIES: client["capabilities"], **level}


class Modern:
    """How we speak with a modern server, in one of its lives. The methods are those of Legacy."""

    name = MODERN
    keeps_nothing = True    # of its clients, so that one process may serve all

    def __init__(self, upstream, life, answer, client, clock):
        self._upstream, self._life, self._client, self._clock = upstream, life, client, clock
        self.info = _info(answer, upstream.name)
        self._listening = Listening(upstream, life, self.info["capabilities"], meta_of(client),
                                    clock)
        self._ours = {"logging/setLevel": self._set_level,
                      "resources/subscribe": self._listening.subscribe,
                      "resources/unsubscribe": self._listening.unsubscribe}

    def ask(self, message, reply_to, call=None):
        """Pass a request on, with all that it must say of its client, or answer it."""
        ours = self._ours.get(message["method"])
        if ours:
            ours(message, reply_to)
            return
        if call:
            session = call.asker
            meta = meta_of({"clientInfo": session.client_info or self._client["clientInfo"],
                            "capabilities": session.capabilities}, session.log_level)
        else:
            meta = meta_of(self._client)
        said = params_of(message).get("_meta")
        message = with_params(message, _meta={**(said if isinstance(said, dict) else {}), **meta})
        if call and message["method"] in MAY_ASK:
            reply_to = Rounds(self._upstream, self._life, message, reply_to, call, self._clock)
        self._upstream.pass_on(self._life, message, reply_to, call)

    def _set_level(self, message, reply_to):
        """Each request says which log lines its client wants."""
        reply_to.send(result(message["id"], {}))

    def listen(self, put):
        self._listening.begin(put)

    def heard(self, message):
        """Only what our subscription brings is news, and it goes on without its mark."""
        method, params = message["method"], params_of(message)
        meta = params.get("_meta")
        meta = dict(meta) if isinstance(meta, dict) else {}
        our_id = meta.pop(SUBSCRIPTION, None)
        if method == ACKNOWLEDGED:
            self._listening.acknowledged(our_id, params.get("notifications"))
            return None
        if method == "notifications/cancelled":
            return None if self._listening.cancelled(params.get("requestId")) else message
        if method not in CHANGED and method != UPDATED:
            return message
        if not self._listening.is_current(our_id):
            return None
        params = {**params, "_meta": meta}
        if not meta:
            del params["_meta"]
        message = {**message, "params": params}
        if not params:
            del message["params"]
        return message

    def loggers(self):
        """Lines belong to calls that asked for them, and none comes after the answer."""
        return {call.asker for call in self._life.pending.calls() if call.asker.log_level}


def _info(answer, name):
    """The answer to server/discover as one to initialize. The tasks of this era are an extension
    with other requests than those of 2025-11-25, so legacy clients are not told of them."""
    capabilities, meta = answer.get("capabilities"), answer.get("_meta")
    capabilities = dict(capabilities) if isinstance(capabilities, dict) else {}
    capabilities.pop("tasks", None)
    if isinstance(capabilities.get("extensions"), dict):
        capabilities["extensions"] = {
            key: value for key, value in capabilities["extensions"].items()
            if key != "io.modelcontextprotocol/tasks"}
    told = meta.get(SERVER_INFO) if isinstance(meta, dict) else None
    info = {"protocolVersion": MODERN_REVISION, "capabilities": capabilities,
            "serverInfo": told if isinstance(told, dict) else {"name": name, "version": ""}}
    if isinstance(answer.get("instructions"), str):
        info["instructions"] = answer["instructions"]
    return info
