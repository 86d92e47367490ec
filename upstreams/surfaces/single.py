"""One server as it is, except for the tools that the config hides, and the tasks of others."""

import logging

from transports.fabric.messages import INVALID_PARAMS, SERVER_UNAVAILABLE, Refused, text_param
from upstreams.answers import PageFilter
from upstreams.catalog import LISTS
from upstreams.gather import LIST_SECONDS
from upstreams.kinds import COMMON
from upstreams.life import RUNNING

from .surface import Surface

log = logging.getLogger("router")


class Single(Surface):
    """Names, cursors, unknown methods: everything passes through as it is."""

    def __init__(self, pool, name):
        super().__init__(pool)
        self.name = name
        self._requests.update({
            **dict.fromkeys([*LISTS, "completion/complete"], self._ask_lister),
            "tools/call": self._call_tool, "tools/list": self._list_tools,
            "tasks/list": self._list_tasks})

    def names(self, known):
        """Which of the known servers it shows, by name."""
        return [self.name]

    def patience(self, session):
        """Seconds that initialize waits for servers that are still starting."""
        return session.upstreams[self.name].entry.start_timeout + LIST_SECONDS

    def initialize(self, session):
        """The result of initialize: the server's own. Raises Refused if it is not running."""
        upstream = session.upstreams[self.name]
        if upstream.state != RUNNING:
            raise Refused(SERVER_UNAVAILABLE, f'server "{self.name}" is not running: '
                                              f'{upstream.problem or upstream.state}')
        return {**upstream.info, "protocolVersion": session.version}

    def notification(self, session, message):
        """Pass on a notification that the router has no rule for, to where the calls run."""
        upstream = session.upstreams[self.name]
        if upstream.kind.policy is COMMON:
            return upstream.send(message)
        for upstream in self._pool.owned(session):
            upstream.send(message)
        return None

    def _other(self, session, message, call):
        self._call(session, session.upstreams[self.name], message, call)

    def _call_tool(self, session, message, call):
        """A tool that is hidden is answered like one that does not exist."""
        name = text_param(message, "name")
        if session.upstreams[self.name].entry.hides(name):
            raise Refused(INVALID_PARAMS, f"Unknown tool: {name}")
        self._other(session, message, call)

    def _ask_lister(self, session, message, call, reply_to=None):
        session.listed.add(message["method"])
        session.upstreams[self.name].request(message, reply_to=reply_to or call, call=call)

    def _list_tools(self, session, message, call):
        hides = session.upstreams[self.name].entry.hides
        self._ask_lister(session, message, call, PageFilter(
            "tools", lambda tool: not hides(str(tool.get("name"))), call))

    def _list_tasks(self, session, message, call):
        """A session sees all tasks of a process that it owns, of others only its own."""
        upstream = session.upstreams[self.name]

        def keeps(task):
            task_id = str(task.get("taskId"))
            if upstream.owner is session:
                session.tasks.add(task_id, upstream)
            return session.tasks.has(task_id, upstream)
        self._ask_lister(session, message, call, PageFilter("tasks", keeps, call))

    def _with_resources(self, session):
        return [session.upstreams[self.name]]
