"""A call that needs a login, of a client that can be asked to open a URL (2025-11-25, Elicitation,
URL Mode): its user is asked, on the stream of the call, and the call goes on by itself when the
user is done. Nobody waits for that but the call, and the thread of the login.

    NAME-login     runs the login at one server, for all the calls that wait for it
"""

import functools
import itertools
import secrets
import threading
from dataclasses import dataclass

from transports.fabric.gather import OnAnswer
from transports.fabric.messages import SERVER_UNAVAILABLE, Refused, dig, notification, request
from transports.fabric.pending import Calls
from transports.fabric.text import log
from upstreams.server.life import RUNNING, STARTING

from .attempt import log_in
from .bearer import logs_in, needs_login
from .listener import SECONDS
from .web import LoginFailed

AGAIN_SECONDS = 0.1     # between two looks whether the server is there again
MOST_LOOKS = 100
MOST_LOGINS = 3         # for one call
END_SECONDS = 15.0


@dataclass(eq=False)
class _Waiting:
    """A call that waits for a login, and what is to be done then."""

    session: object
    call: object
    reply_to: object
    run: object             # function(): run the call again
    answer: dict            # the error that it was answered with
    question: object = None
    elicitation: str = None     # its id for the client


class Asking:
    """`watch` by any thread; `close` once, at the end."""

    name = label = "login"

    def __init__(self, clock, seconds=SECONDS):
        """`seconds`: that a person has."""
        self.clock, self.seconds = clock, seconds
        self.calls, self._ids = Calls(self), itertools.count(1)
        self._lock, self._closed = threading.Lock(), False
        self._logins = {}   # protected by _lock: {url of a server: _Login}

    def watch(self, session, entry, call, reply_to, run, logins=0):
        """The Peer to which the answer of this call is to go; None if it need not be watched. If
        the server needs a login, the client is asked, and then run(reply_to) is called again. It
        may raise Refused."""
        can = dig(session.capabilities, "elicitation", "url")
        if not isinstance(can, dict) or not logs_in(entry):
            return None
        return OnAnswer(functools.partial(self._answered, session, entry, call, reply_to, run,
                                          logins), reply_to)

    def _answered(self, session, entry, call, reply_to, run, logins, answer):
        problem = answer.get("error")
        if dig(problem, "code") != SERVER_UNAVAILABLE or logins >= MOST_LOGINS or call.ended \
                or needs_login(entry) not in str(dig(problem, "message")):
            reply_to.send(answer)
            return

        def run_again():
            again = self.watch(session, entry, call, reply_to, run, logins + 1)
            try:
                run(again)
            except Refused as problem:
                again.send(problem.answer(call.id))
        waiting = _Waiting(session, call, reply_to, run_again, answer)
        with self._lock:
            login = self._logins.get(entry.url)
            is_new = not self._closed and (not login or login.stopped.is_set())
            if is_new:
                login = self._logins[entry.url] = _Login(self, entry, waiting, login)
                login.thread.start()
        if is_new or login and login.join(waiting):
            call.on_end(functools.partial(login.left, waiting))
        elif login and login.stopped.is_set() and not self._closed:    # just now
            self._answered(session, entry, call, reply_to, run, logins, answer)
        else:
            reply_to.send(answer)

    def close(self):
        with self._lock:
            self._closed = True
            logins = list(self._logins.values())
        for login in logins:
            login.stopped.set()
        for login in logins:
            login.thread.join(END_SECONDS)

    def over(self, login):
        with self._lock:
            if self._logins.get(login.entry.url) is login:
                del self._logins[login.entry.url]

    def ask(self, waiting, entry, url, on_answer):
        """Ask the client of this call to open the URL."""
        message = request("elicitation/create", {
            "mode": "url", "url": url, "elicitationId": secrets.token_urlsafe(16),
            "message": f"The server {entry.name} wants you to log in."})
        message["id"] = next(self._ids)
        waiting.question = self.calls.open(message, OnAnswer(on_answer), within=waiting.call)
        waiting.elicitation = message["params"]["elicitationId"]
        if waiting.call.ended:  # before there was a question that `left` could take back
            waiting.question.cancel("the call has ended")
            return
        try:
            waiting.session.ask(message, waiting.question)
        except Refused as problem:
            waiting.question.send(problem.answer(waiting.question.id))

    def go_on(self, waiting, entry, life=None, looks=0):
        """Run the call again when its server is there again. `life`: the one that has ended."""
        upstream = waiting.session.upstreams.get(entry.name)
        if waiting.call.ended:
            return
        if upstream is None:
            waiting.reply_to.send(waiting.answer)
        elif upstream.life is (life or upstream.life) and looks < MOST_LOOKS \
                and upstream.life.state not in (RUNNING, STARTING):
            self.clock.after(AGAIN_SECONDS, self.go_on, waiting, entry, upstream.life, looks + 1)
        else:
            upstream.when_settled(waiting.run)


class _Login:
    """The login at one server, and who waits for it."""

    def __init__(self, asking, entry, waiting, before):
        self.asking, self.entry, self._before = asking, entry, before
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.work, name=f"{entry.name}-login", daemon=True)
        self._lock = threading.Lock()
        # protected by _lock:
        self._waiting, self._url = [waiting], None

    def join(self, waiting):
        """This call waits too. False if nobody waits: the login is over, or is being stopped."""
        with self._lock:
            if not self._waiting:
                return False
            self._waiting.append(waiting)
            url = self._url
        if url:
            self._ask(waiting, url)
        return True

    def work(self):
        problem = None
        if self._before:
            self._before.thread.join()  # it ends, since nobody waits for it
            self._before = None
        try:
            log_in(self.entry, self.asking.clock, self._show, self.stopped.is_set,
                   seconds=self.asking.seconds)
            log.info("%s: logged in", self.entry.name)
        except LoginFailed as failed:
            problem = f"the login did not succeed: {failed}"
            log.warning("%s: %s", self.entry.name, problem)
        except Exception:
            problem = "the login did not succeed: a bug in the router, whose log says more"
            log.exception("%s: its login failed", self.entry.name)
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for each in waiting:
            self._done(each, problem)
        self.asking.over(self)

    def _show(self, url):
        with self._lock:
            self._url, waiting = url, list(self._waiting)
        for each in waiting:
            self._ask(each, url)

    def _ask(self, waiting, url):
        self.asking.ask(waiting, self.entry, url,
                        functools.partial(self._said, waiting))

    def _said(self, waiting, answer):
        """The user has answered: only the yes leads on."""
        if dig(answer, "result", "action") != "accept" and self._take(waiting):
            waiting.reply_to.send(waiting.answer)

    def left(self, waiting):
        """The call has ended, mostly because its client has left."""
        self._take(waiting)
        if waiting.question:
            waiting.question.cancel("the call has ended")

    def _take(self, waiting):
        """False if it does not wait any more. Without anybody who waits there is no login."""
        with self._lock:
            if waiting not in self._waiting:
                return False
            self._waiting.remove(waiting)
            if not self._waiting:
                self.stopped.set()
        return True

    def _done(self, waiting, problem):
        if waiting.question:
            waiting.session.send(notification("notifications/elicitation/complete",
                                              {"elicitationId": waiting.elicitation}))
        if problem:
            error = waiting.answer["error"]
            text = f"{error['message']}; {self.entry.redact(problem)}"
            waiting.reply_to.send({**waiting.answer, "error": {**error, "message": text}})
        else:
            self.asking.go_on(waiting, self.entry)
