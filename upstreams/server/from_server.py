"""What a server says of its own accord, and which session gets it.

A legacy server over stdio does not say on whose behalf it asks or logs, and a modern one does not
say so of log lines. A guess could show one person's question to another. So a question goes to the
session that owns or holds the process, or it is answered with an error. A log line of a process
that several sessions use goes to a session only if it cannot concern another.

Everything here runs in the server's reader thread."""

from transports.fabric.messages import (LOG_LEVELS, METHOD_NOT_FOUND, Refused, is_id, params_of,
                                        result)
from transports.fabric.session import FINAL
from transports.fabric.text import log

from .catalog import CHANGED


def route(life, message):
    """Send a request or notification of the server to the session that it is for."""
    try:
        if life is not life.upstream.life:
            raise Refused(METHOD_NOT_FOUND, "this process is told to end")
        message = life.era.heard(message)
        if message is not None:
            params, other = params_of(message), _question if "id" in message else _news
            _ROUTES.get(message["method"], other)(life, message, params)
    except Refused as problem:
        if "id" in message:
            life.send(problem.answer(message["id"]))
        else:
            log.warning("%s: dropped: %s", life.entry.name, problem)


def _news(life, message, _params):
    owner = life.upstream.use.owner
    life.upstream.catalog.hear(message["method"])
    if owner and message["method"] not in CHANGED:
        owner.send(message)
    else:
        life.upstream.audience.tell(message)


def _question(life, message, _params):
    """Sampling, elicitation, roots, or a request that a future revision adds."""
    upstream = life.upstream
    session = upstream.pool.asked_by(upstream)
    if session is None:
        raise Refused(METHOD_NOT_FOUND, f"Method not found: {message['method']}: no client uses "
                                        "this server now that it could ask")
    # Others than the session that owns the process may list from it.
    question = life.calls.open(message, reply_to=life, within=upstream.sole_call(session))
    if message["method"] == "roots/list":
        upstream.asked_for_roots = True
        upstream.pool.own(upstream, session)
    try:
        session.ask(message, question)
        if not life.settled:    # it may wait for the answer, and the client for its own start
            life.asks_gate.open()
    except Refused as problem:
        question.send(problem.answer(question.id))


def _ours(life, message, params):
    """No server asks this: our own request comes back, as from `cat`, or a shell that echoes."""
    if life.running_since is None:
        life.give_up("sends back what it gets, so it is probably no MCP server: look at its "
                     "command and arguments")
    else:
        (_question if "id" in message else _news)(life, message, params)


def _ping(life, message, _params):
    if "id" in message:
        life.send(result(message["id"], {}))


def _cancelled(life, _message, params):
    """The server takes back a question."""
    if is_id(params.get("requestId")):
        life.calls.cancel(params["requestId"], params.get("reason", ""))


def _progress(life, message, _params):
    if not life.pending.progress(message):
        log.debug("%s: dropped progress that nobody waits for", life.entry.name)


def _log_line(life, message, params):
    """To the one session that it can concern; if there are several, to our own log only."""
    use = life.upstream.use
    concerned = {use.owner} if use.owner else life.era.loggers() | ({use.holder} - {None})
    if len(concerned) != 1 or None in concerned:
        log.debug("%s: a log line that may concern any of several sessions: %s", life.entry.name,
                  message)
        return
    session, level = concerned.pop(), params.get("level")
    if (session.log_level and level in LOG_LEVELS
            and LOG_LEVELS.index(level) < LOG_LEVELS.index(session.log_level)):
        return
    if call := life.upstream.sole_call(session):
        session.when_ready(call.send, message)
    else:
        session.send(message)


def _updated(life, message, params):
    for session in life.upstream.audience.subscribers(str(params.get("uri"))):
        session.send(message)


def _task_status(life, message, params):
    """To the session that has the task; an owner has them all."""
    upstream, owner = life.upstream, life.upstream.use.owner
    task_id = str(params.get("taskId"))
    for session in [owner] if owner else upstream.audience.sessions():
        if params.get("status") in FINAL:
            session.tasks.ended(task_id, upstream)
        if session is owner or session.tasks.has(task_id, upstream):
            session.send(message)


_ROUTES = {
    "initialize": _ours,
    "server/discover": _ours,
    "ping": _ping,
    "notifications/progress": _progress,
    "notifications/message": _log_line,
    "notifications/resources/updated": _updated,
    "notifications/cancelled": _cancelled,
    "notifications/tasks/status": _task_status}
