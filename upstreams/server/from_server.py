"""What a server says of its own accord, and which session gets it.

A legacy server over stdio does not say on whose behalf it asks or logs, and a modern one does not
say so of log lines. A guess could show one
person's question to another. So a question goes to the session that owns or holds the process
(pool.py), or it is answered with an error. A log line of a process that several sessions use goes
to a session only if it cannot concern another.

Everything here runs in the server's reader thread.
"""

import logging

from transports.fabric.messages import (LOG_LEVELS, METHOD_NOT_FOUND, Refused, error, is_id,
                                        params_of, result)

from .catalog import CHANGED

log = logging.getLogger("router")


class FromServer:
    """Routes the requests and notifications of one upstream."""

    def __init__(self, upstream, pool):
        self._upstream, self._pool = upstream, pool
        self._routes = {
            "ping": self._ping,
            "notifications/progress": self._progress,
            "notifications/message": self._log_line,
            "notifications/resources/updated": self._updated,
            "notifications/cancelled": self._cancelled,
            "notifications/tasks/status": self._task_status,
        }

    def route(self, message):
        """Send a request or notification of the server to the session that it is for."""
        try:
            message = self._upstream.life.era.heard(message)
            if message is None:
                return
            for method in CHANGED.get(message["method"], ()):
                self._upstream.catalog.forget(method)
            params = params_of(message)
            route = self._routes.get(message["method"])
            if route:
                route(message, params)
            elif "id" in message:
                self._question(message)
            elif self._upstream.use.owner and message["method"] not in CHANGED:
                self._upstream.use.owner.send(message)
            else:
                self._upstream.audience.tell(message)
        except Refused as problem:
            if "id" in message:
                self._upstream.send(error(message["id"], problem.code, str(problem), problem.data))
            else:
                log.warning("%s: dropped: %s", self._upstream.name, problem)

    def _ping(self, message, _params):
        if "id" in message:
            self._upstream.send(result(message["id"], {}))

    def _question(self, message):
        """Sampling, elicitation, roots, or a request that a future revision adds."""
        session = self._pool.asked_by(self._upstream)
        if session is None:
            raise Refused(METHOD_NOT_FOUND, f"Method not found: {message['method']}: no client "
                                            "uses this server now that it could ask")
        life = self._upstream.life
        # Others than the session that owns the process may list from it.
        question = life.calls.open(message, reply_to=self._upstream,
                                   within=self._upstream.sole_call(session))
        if message["method"] == "roots/list":
            self._upstream.asked_for_roots = True
            self._pool.own(self._upstream, session)
        try:
            session.ask(message, question)
        except Refused as problem:
            question.fail(problem.code, str(problem), problem.data)

    def _cancelled(self, _message, params):
        """The server takes back a question."""
        if is_id(params.get("requestId")):
            self._upstream.life.calls.cancel(params["requestId"], params.get("reason", ""))

    def _progress(self, message, _params):
        if not self._upstream.life.pending.progress(message):
            log.debug("%s: dropped progress that nobody waits for", self._upstream.name)

    def _log_line(self, message, params):
        """To the one session that it can concern; if there are several, to our own log only."""
        upstream = self._upstream
        users = upstream.life.era.loggers()
        if upstream.use.holder:
            users = {*users, upstream.use.holder}
        concerned = {upstream.use.owner} if upstream.use.owner else users
        if len(concerned) != 1 or None in concerned:
            log.debug("%s: a log line that may concern any of several sessions: %s",
                      self._upstream.name, message)
            return
        session = concerned.pop()
        if not _wants(session, params.get("level")):
            return
        call = upstream.sole_call(session)
        if call:
            session.when_ready(call.send, message)
        else:
            session.send(message)

    def _updated(self, message, params):
        uri = str(params.get("uri"))
        for session in self._upstream.audience.subscribers(uri):
            session.send(message)

    def _task_status(self, message, params):
        """To the session that has the task; an owner has them all."""
        task_id, owner = str(params.get("taskId")), self._upstream.use.owner
        for session in [owner] if owner else self._upstream.audience.sessions():
            if session is owner or session.tasks.has(task_id, self._upstream):
                session.send(message)


def _wants(session, level):
    """Whether a log line of this level is loud enough for the session."""
    lowest = session.log_level
    return (lowest is None or level not in LOG_LEVELS
            or LOG_LEVELS.index(level) >= LOG_LEVELS.index(lowest))
