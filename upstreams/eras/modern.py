"""What is particular to a modern server: revision 2026-07-28, without sessions.

Each request says whose it is. A question is part of an answer (questions.py), and what changes is
told on one stream that we ask for (listening.py). So one process can serve everybody. This file
is the translator: legacy requests that this era lacks are answered here."""

from transports.fabric.capabilities import without_tasks
from transports.fabric.messages import (CAPABILITIES_KEY, CLIENT_INFO_KEY, LOG_LEVEL_KEY,
                                        LOG_LEVELS, META_KEYS, MODERN_REVISION, SERVER_INFO_KEY,
                                        SUBSCRIPTION_KEY, VERSION_KEY, dig, is_id, params_of,
                                        result, with_params, without_keys)
from transports.fabric.pending import ours
from upstreams.server.catalog import CHANGED

from .listening import ACKNOWLEDGED, LISTEN, UPDATED, Listening
from .questions import MAY_ASK, Rounds

MODERN = "modern"


def meta_of(client, log_level=None):
    """What each request says of its client: {"clientInfo": …, "capabilities": …}."""
    level = {LOG_LEVEL_KEY: log_level} if log_level else {}
    return {VERSION_KEY: MODERN_REVISION, CLIENT_INFO_KEY: client["clientInfo"],
            CAPABILITIES_KEY: client["capabilities"], **level}


class Modern:
    """How we speak with a modern server, in one of its lives: see Legacy."""

    name = MODERN

    def __init__(self, life, answer):
        self._life, self._client = life, life.upstream.client
        self.info = _info(answer, life.entry.name)
        self._listening = Listening(life, self.info["capabilities"], meta_of(self._client))
        self.listen = self._listening.begin
        # Each request says which log lines its client wants.
        self._ours = {"logging/setLevel": lambda asked, to: to.send(result(asked["id"], {})),
                      "resources/subscribe": self._listening.subscribe,
                      "resources/unsubscribe": self._listening.unsubscribe}

    def ask(self, message, reply_to, call=None):
        """Pass a request on, with all that it must say of its client, or answer it."""
        method = message["method"]
        if method in self._ours:
            return self._ours[method](message, reply_to)
        told = params_of(message).get("_meta")
        told = without_keys(told, *META_KEYS) if isinstance(told, dict) else {}
        if call and call.asker.meta:    # its client speaks for itself, and of this era
            message = with_params(message, _meta={**told, **call.asker.meta})
        elif call:
            client = {"clientInfo": call.asker.client_info or self._client["clientInfo"],
                      "capabilities": without_tasks(call.asker.capabilities)}
            level = call.asker.log_level or LOG_LEVELS[0]   # as it would hear a legacy server
            message = with_params(message, _meta={**told, **meta_of(client, level)})
            if method in MAY_ASK:
                reply_to = Rounds(self._life, message, reply_to, call)
        else:
            message = with_params(message, _meta={**told, **meta_of(self._client)})
        self._life.pass_on(message, reply_to, call)

    def heard(self, message):
        """Only what our subscription brings is news, and it goes on without its mark."""
        method, params = message["method"], params_of(message)
        our_id = ours(dig(params, "_meta", SUBSCRIPTION_KEY))
        if is_id(our_id) and self._goes_to_subscriber(our_id, message):
            return None
        if method == ACKNOWLEDGED:
            return self._listening.acknowledged(our_id, params.get("notifications"))
        if method == "notifications/cancelled":
            return None if self._listening.cancelled(ours(params.get("requestId"))) else message
        if method not in CHANGED and method != UPDATED:     # nobody has asked for news of tasks
            return None if method == "notifications/tasks" else message
        if not self._listening.is_current(our_id):
            return None
        meta = without_keys(params["_meta"], SUBSCRIPTION_KEY)
        params = {**without_keys(params, "_meta"), **({"_meta": meta} if meta else {})}
        return {**without_keys(message, "params"), **({"params": params} if params else {})}

    def _goes_to_subscriber(self, our_id, message):
        """Whether it belongs to a subscription that a client has here by itself."""
        row = self._life.pending.find(our_id)
        if not row or not row.call or row.call.method != LISTEN:
            return False
        row.reply_to.send(message)
        return True

    def loggers(self):
        """Lines belong to calls that asked for them; what was withdrawn may still log."""
        here = {call.asker for call in self._life.pending.calls()}
        wants = {asker for asker in here if asker.log_level or not asker.meta}
        return wants and wants | self._life.pending.askers() - here


def _info(answer, name):
    """The answer to server/discover as one to initialize."""
    capabilities, server = answer.get("capabilities"), dig(answer, "_meta", SERVER_INFO_KEY)
    capabilities = capabilities if isinstance(capabilities, dict) else {}
    info = {"protocolVersion": MODERN_REVISION,
            "capabilities": without_keys(capabilities, "tasks"),
            "serverInfo": server if isinstance(server, dict) else {"name": name, "version": ""}}
    if isinstance(answer.get("instructions"), str):
        info["instructions"] = answer["instructions"]
    return info
