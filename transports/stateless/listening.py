"""`subscriptions/listen` (2026-07-28, Subscriptions): a request that lasts until its client leaves
or we end. It brings what the client has asked for and nothing else, each with the request's id.

Behind it stands a session that hears what every session hears, with its lists and subscriptions.
"""

import secrets

from transports.fabric.gather import Gather, OnAnswer
from transports.fabric.messages import (INVALID_PARAMS, SUBSCRIPTION_KEY, Refused, dig,
                                        notification, params_of, request, result, with_params)
from transports.fabric.session import Gate

ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
UPDATED = "notifications/resources/updated"
SUBSCRIBE_SECONDS = 10.0    # that servers have to answer, before it is acknowledged without them
MOST_URIS = 1000

# The word of the filter → the notification, and the capability that it belongs to.
LISTS = {f"{kind}ListChanged": (f"notifications/{kind}/list_changed", kind)
         for kind in ("tools", "prompts", "resources")}


def listen(session, message, call):
    """Raises Refused for a filter that is none."""
    Listener(session, message, call).start()


class Listener:
    """One request that lasts."""

    def __init__(self, session, message, call):
        wanted = params_of(message).get("notifications")
        if not isinstance(wanted, dict):
            raise Refused(INVALID_PARAMS, "subscriptions/listen: params.notifications must be an "
                                          "object")
        uris = wanted.get("resourceSubscriptions", [])
        if not isinstance(uris, list) or not all(isinstance(uri, str) for uri in uris) \
                or len(uris) > MOST_URIS:
            raise Refused(INVALID_PARAMS, "subscriptions/listen: resourceSubscriptions must be a "
                                          f"list of at most {MOST_URIS} strings")
        self._session, self._call, self._id = session, call, call.id
        self._wanted, self._uris = wanted, list(dict.fromkeys(uris))
        self._methods = set()
        self._gate = Gate()     # nothing comes before the acknowledgement

    def start(self):
        session = self._session
        session.listener = self
        session.lasting.listen(self)
        session.stateless.when_opened(session, self._subscribe)

    def _subscribe(self):
        session = self._session
        if self._call.ended:
            return
        can = session.surface.initialize(session)["capabilities"]
        self._agreed = {word: True for word, (_, kind) in LISTS.items()
                        if self._wanted.get(word) is True and dig(can, kind, "listChanged")}
        self._methods = {LISTS[word][0] for word in self._agreed}
        Gather(self._uris, self._acknowledge, session.stateless.router.clock,
               SUBSCRIBE_SECONDS).start(self._ask)

    def _ask(self, uri, put):
        lasting = self._session.lasting
        message = {**request("resources/subscribe", {"uri": uri}), "id": secrets.token_hex(8)}
        call = lasting.calls.open(message, OnAnswer(put))
        try:
            lasting.surface.request(lasting, message, call)
        except Refused as problem:
            call.send(problem.answer(call.id))

    def _acknowledge(self, answers, _missing):
        if self._uris:
            self._agreed["resourceSubscriptions"] = [
                uri for uri in self._uris if "result" in answers.get(uri, ())]
        self._tell(notification(ACKNOWLEDGED, {"notifications": self._agreed}))
        self._gate.open()

    def hear(self, message):
        """A notification for every session that lists, or is subscribed to something."""
        uri = dig(message, "params", "uri")
        if message["method"] in self._methods \
                or message["method"] == UPDATED and self._is_subscribed(uri):
            self._gate.do(self._tell, message)

    def _is_subscribed(self, uri):
        return any(uri == each or str(uri).startswith(each.rstrip("/") + "/")
                   for each in self._uris)

    def _tell(self, message):
        meta = {**(dig(message, "params", "_meta") or {}), SUBSCRIPTION_KEY: self._id}
        self._call.send(with_params(message, _meta=meta))

    def end(self):
        """Its client is not there any more, or we end."""
        self._call.send(self.farewell({}))

    def farewell(self, answer):
        """The end that we bring about is an answer without anything in it."""
        if dig(answer, "error", "code") == INVALID_PARAMS:
            return answer
        return result(self._id, {"_meta": {SUBSCRIPTION_KEY: self._id}})
