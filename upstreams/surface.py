"""What a session sees: one server as it is, or all together (aggregate.py).

A surface decides, for each request of a client, which upstream gets it and under which name. Its
methods run in whatever thread brought the client's message, and only ever put things on queues.
"""

from transports.messages import (INVALID_PARAMS, LOG_LEVELS, SERVER_UNAVAILABLE, Refused,
                                 params_of, result, task_id_in, text_param)

from .gather import LIST_SECONDS, FirstThatKnows
from .upstream import RUNNING

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


class Single(Surface):
    """One server as it is: names, cursors, unknown methods, everything passes through."""

    def __init__(self, name):
        super().__init__()
        self.name = name
        self._requests.update({"tools/call": self._call_tool, "tools/list": self._list_tools})

    def names(self, known):
        """The names of the servers that it shows, of those that are known."""
        return [self.name]

    def patience(self, session):
        """Seconds that initialize waits for servers that are still starting."""
        return session.upstreams[self.name].entry.start_timeout + LIST_SECONDS

    def initialize(self, session):
        """Our answer to initialize: the server's own. Raises Refused if it is not running."""
        upstream = session.upstreams[self.name]
        if upstream.state != RUNNING:
            raise Refused(SERVER_UNAVAILABLE, f'server "{self.name}" is not running: '
                                              f'{upstream.problem or upstream.state}')
        return {**upstream.info, "protocolVersion": session.version}

    def notification(self, session, message):
        """Pass on a notification that the router has no rule for."""
        session.upstreams[self.name].send(message)

    def _other(self, session, message, call):
        pass_on(session.upstreams[self.name], session, message, call)

    def _call_tool(self, session, message, call):
        """A tool that is hidden is one that nobody knows."""
        name = params_of(message).get("name")
        if isinstance(name, str) and session.upstreams[self.name].entry.hides(name):
            raise Refused(INVALID_PARAMS, f"Unknown tool: {name}")
        self._other(session, message, call)

    def _list_tools(self, session, message, call):
        upstream = session.upstreams[self.name]
        upstream.request(message, reply_to=_WithoutHidden(upstream.entry, call), call=call)

    def _with_resources(self, session):
        return [session.upstreams[self.name]]


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


class _WithoutHidden:
    """A Peer between a server and who listed its tools; all else of the page is left as it is."""

    def __init__(self, entry, call):
        self._entry, self._call = entry, call

    def send(self, message):
        page = message.get("result")
        if isinstance(page, dict) and isinstance(page.get("tools"), list):
            tools = [tool for tool in page["tools"] if not isinstance(tool, dict)
                     or not self._entry.hides(str(tool.get("name")))]
            message = {**message, "result": {**page, "tools": tools}}
        self._call.send(message)
