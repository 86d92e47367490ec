"""What a session sees: one server as it is, or all together (aggregate.py).

A surface decides, for each request of a client, which upstream gets it and under which name. Its
methods run in the thread that brought the client's message. They send messages and wait for
nothing: a send writes to a pipe or socket only if that cannot block.
"""

from transports.fabric.messages import (INVALID_PARAMS, LOG_LEVELS, Refused, params_of, result,
                                        text_param)
from upstreams.answers import FirstGoodAnswer, TaskRecorder

RESOURCE_NOT_FOUND = -32002     # 2025-11-25, Resources, Error Handling


class Surface:
    """What both surfaces have in common: the log level and the subscriptions of a session."""

    def __init__(self):
        self._requests = {
            "logging/setLevel": self._set_level,
            "resources/subscribe": self._subscribe,
            "resources/unsubscribe": self._unsubscribe,
        }

    def request(self, session, message, call):
        """Pass a request on to the upstream that it is for, under its name there, or answer it.

        Raises Refused if neither can be done.
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
        self._ask_for_resource(session, message, call, lambda upstream, reply_to:
                               upstream.audience.subscribe(session, message, reply_to))

    def _unsubscribe(self, session, message, call):
        uri = text_param(message, "uri")
        for upstream in session.upstreams.values():
            if upstream.audience.is_subscribed(session, uri):
                return upstream.audience.unsubscribe(session, message, call)
        return call.send(result(call.id, {}))

    def _ask_for_resource(self, session, message, call, ask):
        """ask(upstream, reply_to) the upstream that has the resource.

        That is the one that listed it. If none did, we ask one after another until one knows it:
        first those that listed a template of which the URI may be.
        """
        uri = text_param(message, "uri")
        upstreams = self._with_resources(session)
        for upstream in upstreams:
            if upstream.catalog.has_uri(uri):
                return ask(upstream, call)
        if not upstreams:
            raise Refused(RESOURCE_NOT_FOUND, f"Resource not found: {uri}", {"uri": uri})
        # sort() is stable: in each of the two halves the config's order stays.
        upstreams.sort(key=lambda upstream: not upstream.catalog.matches_template(uri))
        return FirstGoodAnswer(upstreams, ask, call).ask_next()


def pass_on(upstream, session, message, call):
    """Pass a request on; if it asks for a task, the session remembers which upstream has that."""
    reply_to = call
    if "task" in params_of(message):
        reply_to = TaskRecorder(upstream, session, call)
    upstream.request(message, reply_to=reply_to, call=call)
