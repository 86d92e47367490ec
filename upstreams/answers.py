"""Small Peers that stand between a server's answer and the peer that asked.

Each is the `reply_to` of one request. It gets the request's progress, then its answer, mostly in
the reader thread of the server. So it never waits.
"""

from transports.fabric.messages import Refused, error, task_id_in


class OnAnswer:
    """Calls function(answer), for a request of our own. Progress is dropped."""

    def __init__(self, function):
        self._function = function

    def send(self, message):
        if "method" not in message:
            self._function(message)


class FirstGoodAnswer:
    """Asks one upstream after another until one gives an answer that is no error.

    `ask(upstream, reply_to)` asks one of them, and may raise Refused. If all of them answer with
    an error, the call gets the error of the first, which was the likeliest to know.
    """

    def __init__(self, upstreams, ask, call):
        self._upstreams, self._ask, self._call = list(upstreams), ask, call
        self._first_error = None

    def ask_next(self):
        try:
            self._ask(self._upstreams.pop(0), self)
        except Refused as problem:
            self.send(error(self._call.id, problem.code, str(problem), problem.data))

    def send(self, message):
        if "error" not in message:
            self._call.send(message)
            return
        self._first_error = self._first_error or message
        if self._upstreams and not self._call.ended:
            self.ask_next()
        else:
            self._call.send(self._first_error)


class TaskRecorder:
    """If the answer creates a task, notes in the session which upstream has it (2025-11-25,
    Tasks, Creating Tasks). Passes everything on to the call."""

    def __init__(self, upstream, session, call):
        self._upstream, self._session, self._call = upstream, session, call

    def send(self, message):
        task_id = task_id_in(message)
        if task_id is not None:
            self._session.tasks[task_id] = self._upstream
        self._call.send(message)


class HiddenToolsFilter:
    """Takes the tools that the config hides out of an answer to tools/list, and changes nothing
    else of it. Passes everything on to the call."""

    def __init__(self, hides, call):
        self._hides, self._call = hides, call

    def send(self, message):
        page = message.get("result")
        if isinstance(page, dict) and isinstance(page.get("tools"), list):
            tools = [tool for tool in page["tools"] if not isinstance(tool, dict)
                     or not self._hides(str(tool.get("name")))]
            message = {**message, "result": {**page, "tools": tools}}
        self._call.send(message)
