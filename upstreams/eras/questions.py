"""Questions of a modern server: parts of an answer, which become questions to the session.

2026-07-28, Multi Round-Trip Requests: an `input_required` answer lists what the server wants to
know. The session is asked all of it at once. Then the request goes to the server again, with the
client's answers and with the `requestState` as it was."""

import functools
import itertools

from transports.fabric.capabilities import NEEDS, missing_capability
from transports.fabric.gather import Gather, GrowingPause, OnAnswer
from transports.fabric.messages import SERVER_UNAVAILABLE, Refused, dig, without_keys

MAY_ASK = {"tools/call", "prompts/get", "resources/read"}
MOST_ROUNDS, MOST_QUESTIONS = 10, 100   # for one request; in one round
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.25     # seconds before it is sent again, if none was asked
MISSING_CAPABILITY = -32021     # 2026-07-28, MissingRequiredClientCapabilityError

_numbers = itertools.count(1)


class Rounds:
    """The reply_to of one request of a session, until it has its last answer.

    It runs in the reader thread of the server, in those that bring the client's answers, and in
    the clock, for a round in which nothing is asked."""

    def __init__(self, life, message, reply_to, call):
        self._life, self._message, self._reply_to, self._call = life, message, reply_to, call
        self._rounds, self._pause = 0, GrowingPause(FIRST_PAUSE, LONGEST_PAUSE)

    def send(self, message):
        answer = message.get("result")
        if not isinstance(answer, dict) or answer.get("resultType") != "input_required":
            self._reply_to.send(message)
            return
        self._rounds += 1
        questions = answer.get("inputRequests") or {}
        again = functools.partial(self._ask_again, answer)
        try:
            _check(questions, self._rounds, self._call.asker.capabilities, self._life.entry.name)
        except Refused as problem:
            self._end(problem.answer(self._call.id))
            return
        if questions:
            Gather(questions, lambda answers, _missing: again(answers)).start(
                lambda key, put: self._ask(questions[key], put))
        else:
            self._life.upstream.clock.after(self._pause.next(), again, {})

    def _ask(self, question, put):
        """Ask the session one thing; put(result) gets what it answers."""
        if self._call.ended:
            return
        id = f"question {next(_numbers)}"
        message = {"jsonrpc": "2.0", "id": id, **{
            key: question[key] for key in ("method", "params") if key in question}}
        if dig(message, "params", "mode") == "url":  # 2025-11-25 needs an id, this era has none
            message["params"] = {"elicitationId": id, **message["params"]}
        try:
            asked = self._life.calls.open(message, within=self._call, reply_to=OnAnswer(
                functools.partial(self._answered, put)))
            self._call.asker.ask(message, asked)
        except Refused as problem:
            self._end(problem.answer(self._call.id))
        if self._call.ended:  # it may have ended before the client had the question
            self._take_back()

    def _answered(self, put, response):
        if "error" in response:
            self._end({**response, "id": self._call.id})
        else:
            put(response.get("result"))

    def _ask_again(self, answer, answers):
        """Send the request again, with what the server wants to know."""
        if self._call.ended:
            return
        params = {**without_keys(self._message["params"], "inputResponses", "requestState"),
                  **({"inputResponses": answers} if answers else {})}
        if "requestState" in answer:
            params["requestState"] = answer["requestState"]
        try:
            self._pass_on({**self._message, "params": params})
        except Refused as problem:
            self._end(problem.answer(self._call.id))

    def _pass_on(self, message):
        try:
            self._life.pass_on(message, self, self._call)
        except Refused:
            if not self._life.upstream.has_put_to_rest(self._life):
                raise
            # Any process of it will do, since it keeps nothing
            self._life.upstream.request(message, self._reply_to, self._call)

    def _end(self, answer):
        """The call ends with this answer, so nobody needs the answers to what else was asked."""
        self._call.send(answer)
        self._take_back()

    def _take_back(self):
        for question in self._life.calls.all():
            if question.within is self._call:
                question.cancel("the call that this belongs to has ended")


def _check(questions, rounds, capabilities, name):
    """Raises Refused unless these are questions that the client's capabilities cover."""
    problem = None
    if rounds > MOST_ROUNDS:
        problem = f"more after {MOST_ROUNDS} rounds of questions"
    elif not isinstance(questions, dict) or not all(
            str(dig(question, "method")) in NEEDS and isinstance(question.get("params", {}), dict)
            for question in questions.values()):
        problem = f"something in a way that is none of {', '.join(NEEDS)}"
    elif len(questions) > MOST_QUESTIONS:
        problem = f"more than {MOST_QUESTIONS} things at once"
    if problem:
        raise Refused(SERVER_UNAVAILABLE, f'server "{name}" wants to know {problem}')
    for question in questions.values():
        if missing := missing_capability(question, capabilities):
            raise Refused(MISSING_CAPABILITY, f'server "{name}" asks with {question["method"]} '
                          "what this client has not declared that it can be asked",
                          {"requiredCapabilities": missing})
