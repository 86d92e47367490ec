"""What a session sees: one server as it is, or all together (aggregate.py).

A surface decides, for each request of a client, which upstream gets it and under which name. Its
methods run in whatever thread brought the client's message, and only ever put things on queues.
"""

from transports.fabric.messages import (INVALID_PARAMS, LOG_LEVELS, Refused, params_of, result,
                                        task_id_in, text_param)
from upstreams.gather import FirstThatKnows

RESOURCE_NOT_FOUND = -32002     # 2025-11-25, Resources, Error Handling


class Surface:
    """What both have in common: wishes of the session that the router itself remembers."""

    def __init__(self):
        self._requests = {
            "logging/setLevel": self._set_level,
            "resources/subscribe": self._subscribe,
            "resources/unsubscribe": self._unsubscribe,
        }

    def request(self, session, message, call):
        """Pass a request on, under the name and to the upstream that it is for, or answer it.

        Raises Refused; the router answers with the error.
        """
        self._requests.get(message["method"], self._other)(session, message, call)

    def _set_level(self, session, message, call):
        level = text_param(message, "level")
        if level not in LOG_LEVELS:
            raise Refused(INVALID_PARAMS, f"Unknown log level: {level}; there are "
                                          f"{', '.join(LOG_LEVELS)}")
        session.log_level = level
        for upstream in session.upstreams.values():
            upstream.audience.tell_level()
        call.send(result(call.id, {}))

    def _subscribe(self, session, message, call):
        self._ask_owner(session, message, call, lambda upstream, reply_to:
                        upstream.audience.subscribe(session, message, reply_to))

    def _unsubscribe(self, session, message, call):
        uri = text_param(message, "uri")
        for upstream in session.upstreams.values():
            if upstream.audience.is_subscribed(session, uri):
                return upstream.audience.unsubscribe(session, message, call)
        return call.send(result(call.id, {}))

    def _ask_owner(self, session, message, call, ask):
        """Ask the upstream whose resource it is: learned from lists, else from templates, else
        one after another until one knows it."""
        uri = text_param(message, "uri")
        upstreams = self._with_resources(session)
        for upstream in upstreams:
            if upstream.catalog.has_uri(uri):
                return ask(upstream, call)
        if not upstreams:
            raise Refused(RESOURCE_NOT_FOUND, f"Resource not found: {uri}", {"uri": uri})
        # sort() is stable: those with a fitting template first, else the config's order.
        upstreams.sort(key=lambda upstream: not upstream.catalog.matches_template(uri))
        return FirstThatKnows(upstreams, ask, call).next()


def pass_on(upstream, session, message, call):
    """Pass a request on; if its answer makes a task of it, remember whose task that is."""
    reply_to = call
    if "task" in params_of(message):
        reply_to = _TaskMaker(upstream, session, call)
    upstream.request(message, reply_to=reply_to, call=call)


class _TaskMaker:
    """A Peer between a server and the caller (2025-11-25, Tasks, Creating Tasks)."""

    def __init__(self, upstream, session, call):
        self._upstream, self._session, self._call = upstream, session, call

    def send(self, message):
        task_id = task_id_in(message)
        if task_id is not None:
            self._session.tasks[task_id] = self._upstream
        self._call.send(message)
