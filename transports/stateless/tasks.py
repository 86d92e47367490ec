"""Tasks (the extension io.modelcontextprotocol/tasks, SEP-2663): calls that go on after their
answer. A request about one has nothing but its id.

Where several servers are seen together, the id says which of them has the task: clients see
`{server}__{id}`, in answers, requests and notifications. This file is where that is put on and
taken off. The first `__` of such an id ends the name; one in the name is written `%5F%5F`."""

import secrets
import urllib.parse

from transports.fabric.gather import GrowingPause
from transports.fabric.messages import (CAPABILITIES_KEY, INVALID_PARAMS, METHOD_NOT_FOUND,
                                        SERVER_UNAVAILABLE, TASKS_EXTENSION, Refused, dig, request,
                                        text_param, with_params)

from .answers import MISSING_CAPABILITY

LISTEN = "subscriptions/listen"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
STATUS = "notifications/tasks"
METHODS = {"tasks/get", "tasks/update", "tasks/cancel"}
TASK = "task"           # the resultType of an answer that creates one
SEPARATOR = "__"
MOST_FOLLOWED = 100     # subscriptions at one server: at a remote one, each has a thread of ours
PAUSE, LONGEST_PAUSE = 1.0, 60.0    # seconds before a server that has ended is asked again
FINAL = METHOD_NOT_FOUND, INVALID_PARAMS, MISSING_CAPABILITY


def by_task(session, message, call):
    """To the server that has the task. Raises Refused."""
    task_id = text_param(message, "taskId")
    upstream, own = _owner(session, task_id)
    if upstream is None:
        check_declared(session)
        raise Refused(INVALID_PARAMS, f"Unknown task: {task_id}")
    session.surface.call(session, upstream, with_params(message, taskId=own), call)


def check_declared(session):
    """Raises Refused for a client that has not declared this extension."""
    if dig(session.meta, CAPABILITIES_KEY, "extensions", TASKS_EXTENSION) is None:
        raise Refused(MISSING_CAPABILITY, "Missing required client capability", {
            "requiredCapabilities": {"extensions": {TASKS_EXTENSION: {}}}})


def _owner(session, task_id):
    """(the upstream that has this task, its own id for that); (None, None) if nobody can."""
    if not _sees_several(session):
        return next(iter(session.upstreams.values()), None), task_id
    written, separator, own = task_id.partition(SEPARATOR)
    name = urllib.parse.unquote(written)
    if not separator or written != _written(name):
        return None, None
    return session.upstreams.get(name), own


def _sees_several(session):
    """Whether its surface is that of several servers, be there only one."""
    name = session.surface_name
    return name is None or name in session.stateless.router.groups


def _written(name):
    """A server's name, as an id has it: `__` after it is the first one there."""
    name = name.replace("%", "%25")
    return name.replace("_", "%5F") if SEPARATOR in name or name.endswith("_") else name


def _seen(session, name, task_id):
    return _written(name) + SEPARATOR + task_id if _sees_several(session) else task_id


def answer_seen(session, call, answer):
    """An answer with the id of its task, if it has one, as the client sees that."""
    value = answer.get("result", {})
    if value.get("resultType") != TASK and call.method not in METHODS:
        return answer
    task_id, at = value.get("taskId"), call.last_at
    if not isinstance(task_id, str) or at is None:
        return answer
    return {**answer, "result": {**value, "taskId": _seen(session, at.entry.name, task_id)}}


class Following:
    """What one server says of some of its tasks. There it is a subscription of the client's own,
    since a server tells nothing of a task to those who have not declared the extension. A Peer for
    what comes for it. If the server ends, it is asked again."""

    def __init__(self, session, name, ids, hear):
        """`ids`: the server's own. `hear(notification)` gets what is news."""
        self._session, self._name, self._ids, self._hear = session, name, ids, hear
        self._pause = GrowingPause(PAUSE, LONGEST_PAUSE)
        self._put = None        # until the server has answered for the first time
        self._agreed = set()    # own ids

    def begin(self, put):
        """put([ids as the client sees them]) is called with those that the server agrees to."""
        self._put = put
        self._ask()

    def _ask(self):
        """Called by the clock, too."""
        session, upstream = self._session, self._session.upstreams.get(self._name)
        message = {**request(LISTEN, {"notifications": {"taskIds": self._ids}}),
                   "id": secrets.token_hex(8)}
        try:
            call = session.calls.open(message, self)
        except Refused:
            return      # its request has ended
        try:
            if upstream is None or dig(upstream.offered, "extensions", TASKS_EXTENSION) is None:
                raise Refused(METHOD_NOT_FOUND, f"{self._name} has no tasks of this kind")
            if sum(each.method == LISTEN for each in upstream.life.pending.calls()) \
                    >= MOST_FOLLOWED:
                raise Refused(SERVER_UNAVAILABLE, "too many follow tasks of this server already")
            session.surface.call(session, upstream, message, call)
        except Refused as problem:
            call.send(problem.answer(call.id))

    def send(self, message):
        if "method" not in message:
            self._ended(dig(message, "error", "code"))
        elif message["method"] == ACKNOWLEDGED:
            agreed = dig(message, "params", "notifications", "taskIds")
            agreed = agreed if isinstance(agreed, list) else []
            self._agreed = {id for id in agreed if isinstance(id, str)}.intersection(self._ids)
            self._pause.reset()
            self._answered()
        elif message["method"] == STATUS:
            task_id = dig(message, "params", "taskId")
            if isinstance(task_id, str) and task_id in self._agreed:
                self._hear(with_params(message, taskId=self._seen(task_id)))

    def _seen(self, own):
        return _seen(self._session, self._name, own)

    def _answered(self):
        put, self._put = self._put, None
        if put:
            put([self._seen(id) for id in self._ids if id in self._agreed])

    def _ended(self, code):
        if self._put:
            self._answered()
        elif code not in FINAL:
            self._session.stateless.router.clock.after(self._pause.next(), self._ask)


def following(session, task_ids, hear):
    """A Following for each server that has some of these tasks, by the ids that the client sees.
    Raises Refused if the client may not ask for them."""
    found = {}
    if task_ids:
        check_declared(session)
    for task_id in task_ids:
        upstream, own = _owner(session, task_id)
        if upstream:
            found.setdefault(upstream.name, []).append(own)
    return [Following(session, name, ids, hear) for name, ids in found.items()]
