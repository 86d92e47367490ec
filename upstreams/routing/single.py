"""One server as it is, except for what the config hides or renames, and the tasks of others."""

import functools
import logging

from transports.fabric.messages import SERVER_UNAVAILABLE, Refused
from upstreams.server.catalog import LISTS, PROMPTS, TASKS, TOOLS
from upstreams.server.life import RESTING, RUNNING
from upstreams.server.lists import LIST_SECONDS

from .surface import Surface, unknown

log = logging.getLogger("router")


class Single(Surface):
    """Cursors, unknown methods, names that the config leaves alone: all passes through."""

    def __init__(self, pool, name):
        super().__init__(pool)
        self.name = name
        self._requests.update({
            **dict.fromkeys(LISTS, self._ask_lister),
            **dict.fromkeys([TOOLS, PROMPTS], self._list_names), TASKS: self._list_tasks})

    def names(self, known):
        """Which of the known servers it shows, by name."""
        return [self.name]

    def patience(self, session):
        """Seconds that initialize waits for servers that are still starting."""
        return session.upstreams[self.name].entry.start_timeout + LIST_SECONDS

    def initialize(self, session):
        """The result of initialize: the server's own. Raises Refused if it is not running."""
        upstream = session.upstreams[self.name]
        if upstream.state != RUNNING and not (upstream.state == RESTING and upstream.info):
            raise Refused(SERVER_UNAVAILABLE, f'server "{self.name}" is not running: '
                                              f'{upstream.problem or upstream.state}')
        return {**upstream.info, "protocolVersion": session.version}

    def notification(self, session, message):
        """Pass on a notification that the router has no rule for, to where the calls run."""
        for upstream in self._pool.callees(session, self.name):
            upstream.send(message)

    def _other(self, session, message, call):
        self._call(session, session.upstreams[self.name], message, call)

    def _find(self, session, listing, name):
        """The upstream, and its own name for what the client calls so."""
        upstream = session.upstreams[self.name]
        own = upstream.catalog.own_name(listing, name)
        if own is None:
            raise unknown(listing, name)
        return upstream, own

    def _find_template(self, session, _ref):
        return session.upstreams[self.name]

    def _ask_lister(self, session, message, call, reply_to=None):
        session.listed.add(message["method"])
        session.upstreams[self.name].request(message, reply_to=reply_to or call, call=call)

    def _list_names(self, session, message, call):
        method = message["method"]
        show = functools.partial(session.upstreams[self.name].catalog.shown, method)
        self._ask_lister(session, message, call, PageFilter(LISTS[method][1], show, call))

    def _list_tasks(self, session, message, call):
        """A session sees all tasks of a process that it owns, of others only its own."""
        upstream = session.upstreams[self.name]

        def show(task):
            task_id = str(task.get("taskId"))
            if upstream.use.owner is session:
                session.tasks.add(task_id, upstream)
            return task if session.tasks.has(task_id, upstream) else None
        self._ask_lister(session, message, call, PageFilter("tasks", show, call))

    def _with_resources(self, session):
        return [session.upstreams[self.name]]


class PageFilter:
    """Shows the items of a list as the session sees them, and changes nothing else of the answer.
    Passes everything on to the call.

    show(item) returns the item as it is seen, or None if the session must not see it.
    """

    def __init__(self, key, show, call):
        self._key, self._show, self._call = key, show, call

    def send(self, message):
        page = message.get("result")
        if isinstance(page, dict) and isinstance(page.get(self._key), list):
            items = [seen for item in page[self._key] if not isinstance(seen := item, dict)
                     or (seen := self._show(item)) is not None]
            message = {**message, "result": {**page, self._key: items}}
        self._call.send(message)
