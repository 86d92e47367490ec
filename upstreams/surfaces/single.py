"""One server as it is, except for the tools that the config hides."""

from transports.fabric.messages import INVALID_PARAMS, SERVER_UNAVAILABLE, Refused, params_of
from upstreams.answers import HiddenToolsFilter
from upstreams.gather import LIST_SECONDS
from upstreams.upstream import RUNNING

from .surface import Surface, pass_on


class Single(Surface):
    """Names, cursors, unknown methods: everything passes through as it is."""

    def __init__(self, name):
        super().__init__()
        self.name = name
        self._requests.update({"tools/call": self._call_tool, "tools/list": self._list_tools})

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
        """Pass on a notification that the router has no rule for."""
        session.upstreams[self.name].send(message)

    def _other(self, session, message, call):
        pass_on(session.upstreams[self.name], session, message, call)

    def _call_tool(self, session, message, call):
        """A tool that is hidden is answered like one that does not exist."""
        name = params_of(message).get("name")
        if isinstance(name, str) and session.upstreams[self.name].entry.hides(name):
            raise Refused(INVALID_PARAMS, f"Unknown tool: {name}")
        self._other(session, message, call)

    def _list_tools(self, session, message, call):
        upstream = session.upstreams[self.name]
        upstream.request(message, reply_to=HiddenToolsFilter(upstream.entry.hides, call),
                         call=call)

    def _with_resources(self, session):
        return [session.upstreams[self.name]]
