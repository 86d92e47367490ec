"""What a session sees: one server as it is (single.py), or several together (aggregate.py).

A surface decides, for each request of a client, which server gets it and under which name. Lists,
completions, log levels and subscriptions go to the process that lists for the session; calls go
where the pool lets them run. The methods run in the thread that brought the client's message. They
send messages and wait for nothing.
"""

import functools

from transports.fabric.messages import (INVALID_PARAMS, LOG_LEVELS, Refused, error, params_of,
                                        result, task_id_in, text_param, with_params)
from upstreams.server.catalog import PROMPTS, TOOLS

RESOURCE_NOT_FOUND = -32002     # 2025-11-25, Resources, Error Handling


class Surface:
    """What both surfaces have in common. Each finds the server of a name (_find), of a `ref` that
    names none (_find_template) and of a resource (_with_resources) in its own way."""

    def __init__(self, pool):
        self._pool = pool
        self._requests = {
            "logging/setLevel": self._set_level,
            "resources/subscribe": self._subscribe,
            "resources/unsubscribe": self._unsubscribe,
            **dict.fromkeys(("tasks/get", "tasks/result", "tasks/cancel"), self._by_task),
            "tools/call": functools.partial(self._by_name, TOOLS),
            "prompts/get": functools.partial(self._by_name, PROMPTS),
            "completion/complete": self._complete,
        }

    def request(self, session, message, call):
        """Pass a request on to the server that it is for, under its name there, or answer it.

        Raises Refused if neither can be done.
        """
        self._requests.get(message["method"], self._other)(session, message, call)

    def _set_level(self, session, message, call):
        level = text_param(message, "level")
        if level not in LOG_LEVELS:
            raise Refused(INVALID_PARAMS, f"Unknown log level: {level}; there are "
                                          f"{', '.join(LOG_LEVELS)}")
        session.log_level = level
        for upstream in dict.fromkeys([*session.upstreams.values(),
                                       *self._pool.owned(session)]):
            upstream.audience.tell_server(session)
        call.send(result(call.id, {}))

    # -- resources

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
        """ask(upstream, reply_to) the server that has the resource.

        That is the one that listed it. If none did, we ask one after another until one knows it:
        first those that listed a template of which the URI may be.
        """
        uri = text_param(message, "uri")
        upstreams = self._with_resources(session)
        for upstream in upstreams:
            if upstream.catalog.has_uri(uri):
                return ask(upstream, call)
        not_found = error(call.id, RESOURCE_NOT_FOUND, f"Resource not found: {uri}", {"uri": uri})
        if not upstreams:
            return call.send(not_found)
        likely = [upstream for upstream in upstreams if upstream.catalog.matches_template(uri)]
        others = [upstream for upstream in upstreams if upstream not in likely]
        # An error of the one server that knows such URIs says more than that there is none.
        otherwise = None if len(likely) == 1 or len(upstreams) == 1 else not_found
        return FirstGoodAnswer([*likely, *others], ask, call, otherwise).ask_next()

    # -- names

    def _by_name(self, listing, session, message, call):
        name = text_param(message, "name")
        upstream, own = self._find(session, listing, name)
        self._call(session, upstream, message if own == name else with_params(message, name=own),
                   call)

    def _complete(self, session, message, call):
        """To the server whose prompt or resource template is to be completed."""
        ref = params_of(message).get("ref")
        if isinstance(ref, dict) and isinstance(ref.get("name"), str):
            upstream, own = self._find(session, PROMPTS, ref["name"])
            message = with_params(message, ref={**ref, "name": own})
        else:
            upstream = self._find_template(session, ref)
        upstream.request(message, reply_to=call, call=call)

    # -- calls

    def _call(self, session, upstream, message, call, reply_to=None):
        """Let the call run in a process of this server; `reply_to` gets the answer."""
        reply_to = reply_to or call
        if "task" in params_of(message):
            reply_to = TaskRecorder(session, reply_to, self._pool)

        def ask(process):
            if isinstance(reply_to, TaskRecorder):
                reply_to.upstream = process
            process.request(message, reply_to=reply_to, call=call)
        self._pool.run(session, upstream.name, call, ask, reply_to)

    def _by_task(self, session, message, call):
        """To the server that has the task. A session knows the ids of its own tasks only."""
        task_id = text_param(message, "taskId")
        upstreams = session.tasks.of(task_id)
        if not upstreams:
            raise Refused(INVALID_PARAMS, f"Unknown task: {task_id}")
        if len(upstreams) > 1:
            names = ", ".join(upstream.name for upstream in upstreams)
            raise Refused(INVALID_PARAMS, f"Several servers have a task {task_id}: {names}; "
                                          "connect to the one alone that is meant")
        upstreams[0].request(message, reply_to=call, call=call)


def unknown(listing, name, why=""):
    """The Refused for a name that nothing has, or that belongs to something hidden."""
    return Refused(INVALID_PARAMS,
                   f"Unknown {'tool' if listing == TOOLS else 'prompt'}: {name}{why}")


# Peers that stand between a server's answer and the peer that asked: each is the `reply_to` of one
# request, gets its progress and then its answer, mostly in the server's reader thread, and never
# waits.


class FirstGoodAnswer:
    """Asks one upstream after another until one gives an answer that is no error.

    `ask(upstream, reply_to)` asks one of them, and may raise Refused. If all of them answer with
    an error, the call gets the answer `otherwise`; without it, the error of the first.
    """

    def __init__(self, upstreams, ask, call, otherwise=None):
        self._upstreams, self._ask, self._call = list(upstreams), ask, call
        self._otherwise = otherwise

    def ask_next(self):
        try:
            self._ask(self._upstreams.pop(0), self)
        except Refused as problem:
            self.send(problem.answer(self._call.id))

    def send(self, message):
        if "error" not in message:
            self._call.send(message)
            return
        self._otherwise = self._otherwise or message
        if self._upstreams and not self._call.ended:
            self.ask_next()
        else:
            self._call.send(self._otherwise)


class TaskRecorder:
    """If the answer creates a task, notes in the session which upstream has it (2025-11-25,
    Tasks, Creating Tasks), and lets the session own that. Passes everything on."""

    def __init__(self, session, reply_to, pool):
        self.upstream = None    # the process that runs the call, once that is known
        self._session, self._reply_to, self._pool = session, reply_to, pool

    def send(self, message):
        task_id = task_id_in(message)
        if task_id is not None:
            self._session.tasks.add(task_id, self.upstream)
            self._pool.own(self.upstream, self._session)
        self._reply_to.send(message)
