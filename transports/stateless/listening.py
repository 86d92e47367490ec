"""`subscriptions/listen` (2026-07-28, Subscriptions): a request that lasts until its client leaves
or we end. It brings what the client has asked for and nothing else, each with the request's id.

Behind it stands a session that hears what every session hears, with its lists and subscriptions.
On a pipe that is the pipe's own, for all requests of this kind."""

import secrets
import threading

from transports.fabric.gather import Gather, OnAnswer
from transports.fabric.messages import (INVALID_PARAMS, SERVER_UNAVAILABLE, SUBSCRIPTION_KEY,
                                        Refused, dig, encode, notification, params_of, request,
                                        result, with_params)
from transports.fabric.session import Gate

from .tasks import ACKNOWLEDGED, Following, following

UPDATED = "notifications/resources/updated"
SUBSCRIBE_SECONDS = 10.0    # that servers have to answer, before it is acknowledged without them
MOST_NAMED = 1000           # URIs, and tasks
MOST_BYTES = 1_000_000      # of what is kept of the request

# The word of the filter → the notification, and the capability that it belongs to.
LISTS = {f"{kind}ListChanged": (f"notifications/{kind}/list_changed", kind)
         for kind in ("tools", "prompts", "resources")}
URIS, TASK_IDS = "resourceSubscriptions", "taskIds"


def listen(session, message, call):
    """Raises Refused for a filter that is none."""
    Listener(session, message, call).start()


class Subscribers:
    """Which requests of a session listen to a resource: on a pipe, the end of one must not end the
    subscription of another. Any thread."""

    def __init__(self):
        self._lock = threading.Lock()
        self._listeners = {}    # protected by _lock: {(session, URI): {Listener}}

    def add(self, session, uri, listener):
        with self._lock:
            self._listeners.setdefault((session, uri), set()).add(listener)

    def remove(self, session, uri, listener):
        with self._lock:
            listeners = self._listeners.get((session, uri), set())
            listeners.discard(listener)
            if not listeners:
                self._listeners.pop((session, uri), None)

    def has(self, session, uri):
        """Whether any listens to that."""
        return (session, uri) in self._listeners


class Listener:
    """One request that lasts."""

    def __init__(self, session, message, call):
        wanted = params_of(message).get("notifications")
        if not isinstance(wanted, dict):
            raise _refused("params.notifications must be an object")
        if len(encode([session.meta, wanted])) > MOST_BYTES:
            raise _refused(f"the request has more than {MOST_BYTES} bytes")
        self._session, self._call, self._id = session, call, call.id
        self._lists = [word for word in LISTS if wanted.get(word) is True]
        self._named = [kind for kind in (URIS, TASK_IDS) if kind in wanted]
        self._uris = _texts(wanted, URIS)
        self._tasks = following(session, _texts(wanted, TASK_IDS), self._news)
        self._methods, self._agreed_uris = set(), []
        self._gate = Gate()     # nothing comes before the acknowledgement
        self._is_acknowledged = False

    def start(self):
        session = self._session
        session.lasts(self)
        session.lasting.listen(self)
        session.stateless.when_opened(session, self._subscribe)

    def _subscribe(self):
        session, call = self._session, self._call
        if call.ended:
            return
        try:
            can = session.surface.initialize(session)["capabilities"]
        except Refused as problem:
            call.send(problem.answer(call.id))
            return
        # Of a restart and a new config we tell even if the server tells nothing itself.
        self._agreed = {word: True for word in self._lists if LISTS[word][1] in can}
        self._methods = {LISTS[word][0] for word in self._agreed}
        Gather([*self._uris, *self._tasks], self._acknowledge, session.stateless.router.clock,
               SUBSCRIBE_SECONDS).start(self._ask)

    def _ask(self, source, put):
        if isinstance(source, Following):
            source.begin(put)
        else:
            self._session.stateless.subscribers.add(self._session.lasting, source, self)
            self._request("resources/subscribe", source, put)

    def _request(self, method, uri, put):
        lasting = self._session.lasting
        message = {**request(method, {"uri": uri}), "id": secrets.token_hex(8)}
        try:
            call = lasting.calls.open(message, OnAnswer(put))
        except Refused as problem:
            put(problem.answer(message["id"]))
            return
        try:
            lasting.surface.request(lasting, message, call)
        except Refused as problem:
            call.send(problem.answer(call.id))

    def _acknowledge(self, answers, _missing):
        self._agreed_uris = [uri for uri in self._uris if "result" in answers.get(uri, ())]
        task_ids = [id for source in self._tasks for id in answers.get(source, ())]
        agreed = {URIS: self._agreed_uris, TASK_IDS: task_ids}
        self._is_acknowledged = True
        self._tell(notification(ACKNOWLEDGED, {"notifications": {
            **self._agreed, **{kind: agreed[kind] for kind in self._named}}}))
        self._gate.open()
        if self._call.ended:    # maybe before the servers had answered
            self._unsubscribe()

    def hear(self, message):
        """A notification for every session that lists, or is subscribed to something."""
        uri = dig(message, "params", "uri")
        if message["method"] in self._methods \
                or message["method"] == UPDATED and self._is_subscribed(uri):
            self._news(message)

    def _is_subscribed(self, uri):
        return any(uri == each or str(uri).startswith(each.rstrip("/") + "/")
                   for each in self._agreed_uris)

    def _news(self, message):
        if not self._gate.do(self._tell, message):
            self._call.fail(SERVER_UNAVAILABLE, "too much has changed before all servers have "
                                                "agreed to tell of it: ask again")

    def _tell(self, message):
        meta = dig(message, "params", "_meta")
        meta = {**(meta if isinstance(meta, dict) else {}), SUBSCRIPTION_KEY: self._id}
        self._call.send(with_params(message, _meta=meta))

    # -- the end

    def end(self):
        """Its client is not there any more, or we end."""
        self._call.send(self.farewell({}))

    def farewell(self, answer):
        """The end that we bring about is an answer without anything in it."""
        if "error" in answer and not self._is_acknowledged:
            return answer
        return result(self._id, {"_meta": {SUBSCRIPTION_KEY: self._id}})

    def over(self):
        """Its request has ended; on a pipe, its session has not."""
        self._session.lasting.listen_no_more(self)
        self._unsubscribe()

    def _unsubscribe(self):
        """From what no other request of the session listens to. A legacy client of the same pipe
        may have subscribed to it as well, so what one of these has, it keeps."""
        lasting, subscribers = self._session.lasting, self._session.stateless.subscribers
        for uri in self._uris:
            subscribers.remove(lasting, uri, self)
            if lasting is self._session or lasting.version or subscribers.has(lasting, uri):
                continue
            self._request("resources/unsubscribe", uri, lambda answer: None)
            if subscribers.has(lasting, uri):   # another one came meanwhile
                self._request("resources/subscribe", uri, lambda answer: None)


def _texts(wanted, kind):
    """The URIs or ids of this kind, each once. Raises Refused."""
    found = wanted.get(kind, [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found) \
            or len(found) > MOST_NAMED:
        raise _refused(f"{kind} must be a list of at most {MOST_NAMED} strings")
    return list(dict.fromkeys(found))


def _refused(problem):
    return Refused(INVALID_PARAMS, f"subscriptions/listen: {problem}")
