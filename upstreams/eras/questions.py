"""Questions of a modern server: parts of an answer, which become questions to the session.

2026-07-28, Multi Round-Trip Requests: an `input_required` answer lists what the server wants to
know. The session is asked all of it at once. Then the request goes to the server again, with the
client's answers and with the `requestState` as it was.
"""

import functools
import itertools
import threading

from transports.fabric.gather import Gather, OnAnswer
from transports.fabric.messages import SERVER_UNAVAILABLE, Refused

MAY_ASK = {"tools/call", "prompts/get", "resources/read"}
MOST_ROUNDS = 10            # of questions, for one request
# Seconds before the request is sent again, if nothing was asked. Each time they are doubled.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.25
MISSING_CAPABILITY = -32021     # 2026-07-28, MissingRequiredClientCapabilityError

_NEEDS = {"sampling/createMessage": "sampling", "elicitation/create": "elicitation",
          "roots/list": "roots"}
_numbers = itertools.count(1)


class Rounds:
    """The reply_to of one request of a session, until it has its last answer.

    It runs in the reader thread of the server, in the threads that bring the client's answers,
    and in the clock.
    """

    def __init__(self, upstream, life, message, reply_to, call, clock):
        self._upstream, self._life, self._clock = upstream, life, clock
        self._message, self._reply_to, self._call = message, reply_to, call
        self._rounds, self._pause = 0, FIRST_PAUSE
        self._lock = threading.Lock()
        self._asked = []    # the questions of this round, as Calls; protected by _lock

    def send(self, message):
        answer = message.get("result")
        if isinstance(answer, dict) and answer.get("resultType") == "input_required":
            try:
                self._next_round(answer)
            except Refused as problem:
                self._fail(problem)
        else:
            self._reply_to.send(message)

    def _next_round(self, answer):
        self._rounds += 1
        if self._rounds > MOST_ROUNDS:
            raise Refused(SERVER_UNAVAILABLE, f'server "{self._upstream.name}" wants to know more '
                                              f"after {MOST_ROUNDS} rounds of questions")
        questions = answer.get("inputRequests") or {}
        _check(questions, self._call.asker.capabilities, self._upstream.name)
        again = functools.partial(self._ask_again, answer)
        if questions:
            Gather(questions, lambda answers, _missing: again(answers)).start(
                lambda key, put: self._ask(questions[key], put))
        else:
            self._clock.after(self._pause, again, {})
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _ask(self, question, put):
        """Ask the session one thing; put(result) gets what it answers."""
        if self._call.ended:
            return
        id = f"question {next(_numbers)}"
        message = {"jsonrpc": "2.0", **question, "id": id}
        if message.get("params", {}).get("mode") == "url":  # 2025-11-25 needs an id, this era none
            message["params"] = {"elicitationId": id, **message["params"]}
        try:
            asked = self._life.calls.open(message, within=self._call, reply_to=OnAnswer(
                functools.partial(self._answered, put)))
            with self._lock:
                self._asked.append(asked)
            self._call.asker.ask(message, asked)
        except Refused as problem:
            self._fail(problem)
        if self._call.ended:  # it may have ended before the client had the question
            self._take_back()

    def _answered(self, put, response):
        if "error" in response:
            self._call.send({**response, "id": self._call.id})
            self._take_back()
        else:
            put(response.get("result"))

    def _ask_again(self, answer, answers):
        """Send the request again, with what the server wants to know."""
        with self._lock:
            self._asked = []
        if self._call.ended:
            return
        params = {key: value for key, value in self._message["params"].items()
                  if key not in ("inputResponses", "requestState")}
        if answers:
            params["inputResponses"] = answers
        if "requestState" in answer:
            params["requestState"] = answer["requestState"]
        try:
            self._upstream.pass_on(self._life, {**self._message, "params": params}, self,
                                   self._call)
        except Refused as problem:
            self._fail(problem)

    def _fail(self, problem):
        self._call.fail(problem.code, str(problem), problem.data)
        self._take_back()

    def _take_back(self):
        """The call has ended, so nobody needs the answers to what was asked for it."""
        with self._lock:
            asked, self._asked = self._asked, []
        for question in asked:
            question.cancel("the call that this belongs to has ended")


def _check(questions, capabilities, name):
    """Raises Refused unless these are questions that the client's capabilities cover."""
    if not isinstance(questions, dict) or not all(
            isinstance(question, dict) and str(question.get("method")) in _NEEDS
            and isinstance(question.get("params", {}), dict) for question in questions.values()):
        raise Refused(SERVER_UNAVAILABLE, f'server "{name}" wants to know something in a way that '
                                          f"is none of {', '.join(_NEEDS)}")
    for question in questions.values():
        missing = _missing(question, capabilities)
        if missing:
            raise Refused(MISSING_CAPABILITY, f'server "{name}" asks with {question["method"]} '
                          "what this client has not declared that it can be asked",
                          {"requiredCapabilities": missing})


def _missing(question, capabilities):
    """The capability that the question needs and the client has not; {} if there is none.

    >>> _missing({"method": "elicitation/create", "params": {"mode": "url"}}, {"elicitation": {}})
    {'elicitation': {'url': {}}}
    """
    kind, params = _NEEDS[question["method"]], question.get("params", {})
    has = capabilities.get(kind)
    if not isinstance(has, dict):
        return {kind: {}}
    if kind == "sampling" and "tools" in params and "tools" not in has:
        return {kind: {"tools": {}}}
    mode = params.get("mode", "form") if kind == "elicitation" else None
    if mode == "url" and "url" not in has:
        return {kind: {"url": {}}}
    if mode == "form" and "url" in has and "form" not in has:  # {} stands for forms alone
        return {kind: {"form": {}}}
    return {}
