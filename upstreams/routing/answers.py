"""Small Peers that stand between a server's answer and the peer that asked.

Each is the `reply_to` of one request. It gets the request's progress, then its answer, mostly in
the reader thread of the server. So it never waits.
"""

from transports.fabric.messages import Refused, error, task_id_in


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
            self.send(error(self._call.id, problem.code, str(problem), problem.data))

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
