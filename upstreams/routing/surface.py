"""What a session sees: one server as it is, or several together (aggregate.py).

A surface decides which server gets each request of a client, and under which name. Lists,
completions, log levels and subscriptions go to the process that lists for the session; calls go
where the pool lets them run. Nothing here waits."""

import functools

from transports.fabric.gather import OnAnswer
from transports.fabric.messages import (INVALID_PARAMS, LOG_LEVELS, SERVER_UNAVAILABLE, Refused,
                                        dig, params_of, result, task_id_in, text_param,
                                        with_params)
from transports.fabric.session import FINAL
from upstreams.server.catalog import CHANGED, LISTS, PROMPTS, TASKS, TOOLS
from upstreams.server.life import RUNNING
from upstreams.server.lists import LIST_SECONDS, when_session_settled


class Surface:
    """What both have in common. Each routes more in its own way, and finds the server of a name,
    with its own name for that (find), and of a template (_template)."""

    def __init__(self, pool, own_requests, other):
        self._pool, self._other = pool, other
        self._requests = {
            **dict.fromkeys(("tools/call", "prompts/get"), self._by_name),
            **dict.fromkeys(("tasks/get", "tasks/result", "tasks/cancel"), self._by_task),
            "resources/unsubscribe": self._unsubscribe,
            "completion/complete": self._complete,
            "logging/setLevel": self._set_level,
            **own_requests,
        }

    def request(self, session, message, call):
        """Pass a request on to its server, under its name there, or answer it. Raises Refused."""
        self._requests.get(message["method"], self._other)(session, message, call)

    def _by_name(self, session, message, call):
        name = text_param(message, "name")
        listing = TOOLS if message["method"] == "tools/call" else PROMPTS
        upstream, own = self.find(session, listing, name)
        self.call(session, upstream, message if own == name else with_params(message, name=own),
                   call)

    def _by_task(self, session, message, call):
        """To the server that has the task. A session knows the ids of its own tasks only."""
        task_id = text_param(message, "taskId")
        upstreams = session.tasks.of(task_id)
        if len(upstreams) != 1:
            names = ", ".join(upstream.name for upstream in upstreams)
            raise Refused(INVALID_PARAMS, f"Several servers have a task {task_id}: {names}; "
                          "connect to the one alone that is meant" if names
                          else f"Unknown task: {task_id}")

        def answered(answer):
            is_got = message["method"] == "tasks/result" and "result" in answer
            if is_got or dig(answer, "result", "status") in FINAL:
                session.tasks.ended(task_id, upstreams[0])
            call.send(answer)
        upstreams[0].request(message, OnAnswer(answered, call), call)

    def _unsubscribe(self, session, message, call):
        uri = text_param(message, "uri")
        for upstream in session.upstreams.values():
            if upstream.audience.is_subscribed(session, uri):
                return upstream.audience.unsubscribe(session, message, call)
        return call.send(result(call.id, {}))

    def _complete(self, session, message, call):
        """To the server whose prompt or resource template is to be completed."""
        ref = params_of(message).get("ref")
        if isinstance(name := dig(ref, "name"), str):
            upstream, own = self.find(session, PROMPTS, name)
            message = with_params(message, ref={**ref, "name": own})
        else:
            upstream = self._template(session, str(dig(ref, "uri")))
        upstream.request(message, reply_to=call, call=call)

    def _set_level(self, session, message, call):
        level = text_param(message, "level")
        if level not in LOG_LEVELS:
            raise Refused(INVALID_PARAMS, f"Unknown log level: {level}; there are "
                                          f"{', '.join(LOG_LEVELS)}")
        session.log_level = level
        for upstream in dict.fromkeys([*session.upstreams.values(), *self._pool.owned(session)]):
            upstream.audience.tell_server(session)
        call.send(result(call.id, {}))

    def call(self, session, upstream, message, call, reply_to=None):
        """Let the call run in a process of this server. A room may want to see the answer of a
        remote one first: its `watch` returns a Peer or None, and may call run(peer) once more."""
        reply_to, watched = reply_to or call, None
        if upstream.entry.url and self._pool.watch:
            run = functools.partial(self._run, session, upstream.name, message, call)
            watched = self._pool.watch(session, upstream.entry, call, reply_to, run)
        try:
            self._run(session, upstream.name, message, call, watched or reply_to)
        except Refused as problem:
            if not watched:
                raise
            watched.send(problem.answer(call.id))

    def _run(self, session, name, message, call, reply_to):
        def ask(process):
            to = reply_to
            if "task" in (message.get("params") or ()):
                to = OnAnswer(functools.partial(self._note_task, session, process, to), to)
            process.request(message, to, call)
        self._pool.run(session.lasting, name, call, ask, reply_to)

    def _note_task(self, session, process, reply_to, answer):
        """2025-11-25, Tasks, Creating Tasks: the answer may do so."""
        if (task_id := task_id_in(answer)) is not None:
            session.tasks.add(task_id, process, answer["result"]["task"])
            self._pool.own(process, session)
        reply_to.send(answer)


class Single(Surface):
    """One server as it is, but for what the config hides or renames, and the tasks of others."""

    def __init__(self, pool, name):
        super().__init__(pool, {**dict.fromkeys([*LISTS, "completion/complete"], self._settled),
                                "resources/subscribe": self._subscribe}, self._pass_on)
        self.name = name

    def names(self, known):
        """Which of the known servers it shows, by name."""
        return [self.name]

    def patience(self, session):
        """Seconds that initialize waits for servers that are still starting."""
        return session.upstreams[self.name].entry.start_timeout + LIST_SECONDS

    def initialize(self, session):
        """The result of initialize: the server's own. Raises Refused if it is not running."""
        upstream = session.upstreams[self.name]
        if upstream.state != RUNNING and not (upstream.is_resting() and upstream.info):
            raise Refused(SERVER_UNAVAILABLE, f'server "{self.name}" is not running: '
                                              f'{upstream.problem or upstream.state}')
        offered = upstream.offered
        if upstream.entry.start != "now":   # what is remembered may prove to be otherwise
            offered = {kind: {**said, "listChanged": True} if isinstance(said, dict)
                       and kind in CHANGED.values() else said for kind, said in offered.items()}
        return {**upstream.info, "capabilities": offered, "protocolVersion": session.version}

    def server_info(self, session):
        upstream = session.upstreams.get(self.name)
        return upstream and upstream.info.get("serverInfo")

    def notification(self, session, message):
        """Pass on a notification that the router has no rule for, to where the calls run."""
        for upstream in self._pool.callees(session, self.name):
            upstream.send(message)

    def _pass_on(self, session, message, call):
        self.call(session, session.upstreams[self.name], message, call)

    def _subscribe(self, session, message, call):
        text_param(message, "uri")
        session.upstreams[self.name].audience.subscribe(session, message, call)

    def _list(self, session, message, call):
        method, upstream = message["method"], session.upstreams[self.name]
        key = LISTS[method][1]

        def show(item):
            if method == TASKS:
                return task_seen(session, upstream, item)
            return upstream.catalog.shown(method, item)

        def answered(answer):
            now = session.upstreams[self.name]
            if "error" in answer and (now is not upstream or now.is_resting()):
                self._settled(session, message, call)   # its process has ended, as in Pages
                return
            items = dig(answer, "result", key)
            if is_first and isinstance(items, list) and "nextCursor" not in answer["result"] \
                    and upstream.state == RUNNING and items != upstream.catalog.lists.get(method):
                upstream.catalog.learn(method, items)   # all there is, in its reader thread
            if changes and isinstance(items, list):
                items = [seen for item in items if not isinstance(seen := item, dict)
                         or (seen := show(item)) is not None]
                answer = {**answer, "result": {**answer["result"], key: items}}
            call.send(answer)
        session.listed.add(method)
        is_first = "cursor" not in params_of(message)
        changes = method in (TOOLS, PROMPTS, TASKS)
        upstream.request(message, OnAnswer(answered, call), call)

    def _settled(self, session, message, call):
        """List or complete once that has started: some clients do not wait for initialize."""
        def ask():
            try:
                if not call.ended:
                    (self._list if message["method"] in LISTS else self._complete)(
                        session, message, call)
            except Refused as problem:
                call.send(problem.answer(call.id))
        when_session_settled(session, ask, self._pool.clock, self.patience(session))

    def find(self, session, listing, name):
        upstream = session.upstreams[self.name]
        own = upstream.catalog.own_name(listing, name)
        if own is None:
            raise unknown(listing, name)
        return upstream, own

    def _template(self, session, _uri):
        return session.upstreams[self.name]


def unknown(listing, name, why=""):
    """The Refused for a name that nothing has, or that belongs to something hidden."""
    what = "tool" if listing == TOOLS else "prompt"
    return Refused(INVALID_PARAMS, f"Unknown {what}: {name}{why}")


def task_seen(session, upstream, task):
    """A task that this upstream lists; None if that is another session's, of a shared process."""
    task_id = str(task.get("taskId"))
    if upstream.use.owner is not session and not session.tasks.has(task_id, upstream):
        return None
    session.tasks.add(task_id, upstream, task)
    return task
