"""A call that needs a login, of a client that can be asked to open a URL: a whole router, with a
remote server of each kind and a client that the test plays."""

import itertools
import json
import threading

import pytest
from authorization_server import browse

from transports.fabric.messages import SERVER_UNAVAILABLE
from transports.fabric.outbox import CLOSE
from upstreams import login
from upstreams.config.entries import Entry
from upstreams.eras import open_life
from upstreams.login.asking import Asking
from upstreams.routing.router import SERVER_INFO, Router
from upstreams.sharing.pool import Pool

from world import Client

ASKS = {"elicitation": {"url": {}}}
NEEDS = "needs login: router.py --login far"


class Host(Client):
    """A client; `hears` waits for what comes next."""

    def __init__(self, world, capabilities=ASKS):
        super().__init__(world)
        self._heard = []
        self.initialize(capabilities)
        self._ids = itertools.count(1)

    def hears(self, seconds=10):
        """The next message, without changes of lists, which come when they come."""
        while True:
            while self._heard:
                message = json.loads(self._heard.pop(0))
                if "list_changed" not in message.get("method", ""):
                    return message
            found = self.outbox.get(seconds)
            assert found and found is not CLOSE, "nothing came"
            self._heard += found

    def calls(self, tool="where"):
        return self.asks("tools/call", name=f"far__{tool}", arguments={})

    def is_asked(self):
        message = self.hears()
        assert message["method"] == "elicitation/create", message
        assert message["params"]["mode"] == "url"
        return message

    def accepts(self, question, action="accept"):
        self.sends(id=question["id"], result={"action": action})

    def gets_the_answer(self, id):
        """The text of the result, or of the error; what the login says meanwhile is passed over"""
        while True:
            message = self.hears()
            if message.get("id") == id and "method" not in message:
                return message["result"]["content"][0]["text"] if "result" in message \
                    else message["error"]["message"]
            assert message["method"] in ("notifications/elicitation/complete",
                                         "notifications/cancelled"), message


class Here:
    """A router, for a Host."""

    def __init__(self, entries, clock, seconds):
        def connect(entry, label):
            return login.connect(entry, label, clock, None, 2**20)
        self.pool = Pool(entries, connect, clock, SERVER_INFO, 10, True, open_life)
        self.router, self.asking = Router(self.pool, clock), Asking(clock, seconds)
        self.pool.watch = self.asking.watch
        self.router.start()

    def close(self):
        for session in self.router.sessions.all():
            self.router.leave(session)
        self.asking.close()
        self.pool.close()


@pytest.fixture
def start(far, clock):
    """start(far, seconds) starts a router before this server."""
    started = []

    def run(far=far, seconds=5):
        entry = Entry("far", url=far.url, prefix="far__",
                      type="sse" if far.protocol == "sse" else None)
        started.append(Here({"far": entry}, clock, seconds))
        settled = threading.Event()
        started[-1].pool.upstreams()["far"][0].when_settled(settled.set)
        assert settled.wait(60)
        return started[-1]
    yield run
    for router in started:
        router.close()


@pytest.mark.parametrize("protocol", ["legacy", "modern", "sse"])
def test_a_client_is_asked_and_its_call_goes_on_when_the_person_is_done(start, new_far, protocol):
    far = new_far(protocol)
    host = Host(start(far))
    id = host.calls()
    question = host.is_asked()
    assert question["params"]["url"].startswith(f"{far.issuer}/authorize?")
    assert question["params"]["message"] == "The server far wants you to log in."
    host.accepts(question)
    assert browse(question["params"]["url"])[0] == 200
    assert host.gets_the_answer(id) == "where: here"


def test_the_client_hears_that_what_it_was_asked_is_done(start):
    host = Host(start())
    host.calls()
    question = host.is_asked()
    browse(question["params"]["url"])
    done = host.hears()
    assert done["method"] == "notifications/elicitation/complete"
    assert done["params"] == {"elicitationId": question["params"]["elicitationId"]}


@pytest.mark.parametrize("action", ["decline", "cancel"])
def test_a_person_who_does_not_want_to_log_in_ends_the_call_at_once(start, action):
    host = Host(start())
    id = host.calls()
    host.accepts(host.is_asked(), action)
    assert host.gets_the_answer(id).endswith(NEEDS)


def test_a_client_that_does_not_know_the_question_ends_the_call_at_once(start):
    host = Host(start())
    id = host.calls()
    host.sends(id=host.is_asked()["id"], error={"code": -32601, "message": "what?"})
    assert host.gets_the_answer(id).endswith(NEEDS)


def test_a_person_who_does_nothing_ends_the_call_after_a_while(start):
    host = Host(start(seconds=0.3))
    id = host.calls()
    host.accepts(host.is_asked())
    assert host.gets_the_answer(id).endswith(
        f"{NEEDS}; the login did not succeed: nobody logged in within 0.005 minutes")


def test_a_client_that_leaves_ends_the_login(start):
    here = start()
    host = Host(here)
    host.calls()
    url = host.is_asked()["params"]["url"]
    (thread,) = (each for each in threading.enumerate() if each.name == "far-login")
    host.leaves()
    thread.join(60)
    assert not thread.is_alive()
    with pytest.raises(OSError):
        browse(url)


def test_a_call_that_is_cancelled_takes_its_question_back(start):
    host = Host(start())
    id = host.calls()
    question = host.is_asked()
    host.sends(method="notifications/cancelled", params={"requestId": id})
    told = host.hears()
    assert (told["method"], told["params"]["requestId"]) == (
        "notifications/cancelled", question["id"])


class Stream:
    """A stream of a call's own: asked(question) is called when its client is asked something."""

    def __init__(self, asked):
        self._asked = asked

    def send(self, message):
        if "method" in message:
            self._asked(message)

    def expect_one_less(self):
        pass

    def is_complete(self):
        return False


def test_a_call_that_ends_while_the_client_of_another_is_asked_leaves_no_question(start, far):
    """Both wait for the login to begin; the second is cancelled before it was asked."""
    here = start()
    one, other = Host(here), Host(here)
    begins, asked = threading.Event(), threading.Event()

    def at_register(handler):
        begins.wait(10)
        far.at_register(handler)

    def on_question(_message):
        other.sends(method="notifications/cancelled", params={"requestId": "c2"})
        asked.set()
    far.instead["/register"] = at_register
    one.sends(id="c1", method="tools/call", params={"name": "far__where", "arguments": {}},
              reply_to=Stream(on_question))
    other.sends(id="c2", method="tools/call", params={"name": "far__where", "arguments": {}})
    begins.set()
    assert asked.wait(10)
    one.sends(method="notifications/cancelled", params={"requestId": "c1"})
    here.asking.close()
    assert not other.session.pending.calls()


def test_a_call_that_comes_just_when_nobody_wants_the_login_any_more_begins_another(start, far):
    here = start()
    one, other = Host(here), Host(here)
    first = one.calls()
    question, login = one.is_asked(), here.asking._logins[far.url]
    join = login.join

    def decline_and_join(waiting):
        one.accepts(question, "decline")
        return join(waiting)
    login.join = decline_and_join
    second = other.calls()
    assert one.gets_the_answer(first).endswith(NEEDS)
    assert browse(other.is_asked()["params"]["url"])[0] == 200
    assert other.gets_the_answer(second) == "where: here"


def test_after_a_login_that_nobody_wanted_the_next_call_begins_another(start):
    host = Host(start())
    first = host.calls()
    host.accepts(host.is_asked(), "decline")
    assert host.gets_the_answer(first).endswith(NEEDS)
    second = host.calls()
    question = host.is_asked()
    assert browse(question["params"]["url"])[0] == 200
    assert host.gets_the_answer(second) == "where: here"


def test_all_calls_of_all_clients_wait_for_one_login(start, far):
    here = start()
    hosts = [Host(here) for _ in range(3)]
    calls = [(host, host.calls()) for host in hosts for _ in range(2)]
    questions = [host.is_asked() for host, _ in calls]
    (url,) = {question["params"]["url"] for question in questions}
    browse(url)
    for host in hosts:
        ids, texts = {id for asker, id in calls if asker is host}, []
        while ids:
            message = host.hears()
            if message.get("id") in ids and "result" in message:
                ids.remove(message["id"])
                texts.append(message["result"]["content"][0]["text"])
        assert texts == ["where: here"] * 2
    assert len(far.asked("/authorize")) == 1


def test_one_who_declines_costs_the_others_nothing(start):
    here = start()
    one, other = Host(here), Host(here)
    ones, others = one.calls(), other.calls()
    one.accepts(one.is_asked(), "decline")
    assert one.gets_the_answer(ones).endswith(NEEDS)
    browse(other.is_asked()["params"]["url"])
    assert other.gets_the_answer(others) == "where: here"


@pytest.mark.parametrize("capabilities", [{}, {"elicitation": {}}, {"elicitation": {"form": {}}}])
def test_a_client_that_cannot_be_asked_hears_at_once_what_to_do(start, capabilities):
    host = Host(start(), capabilities)
    id = host.calls()
    answer = host.hears()
    assert answer["id"] == id and answer["error"]["code"] == SERVER_UNAVAILABLE
    assert answer["error"]["message"] == f'server "far" is not running: {NEEDS}'


def test_a_client_is_asked_for_more_rights_and_not_more_than_three_times(start, far):
    far.needs["secret"] = "secret.read"
    host = Host(start())
    id = host.calls("secret")
    for scope in ("", "secret.read"):
        question = host.is_asked()
        assert browse(question["params"]["url"])[0] == 200
        assert host.hears()["method"] == "notifications/elicitation/complete"
        assert far.asked("/authorize")[-1].get("scope", "") == scope
    assert host.gets_the_answer(id) == "secret: here"
    far.needs["secret"] = "more.than.you.give"
    far.instead["/token"] = _gives_less(far)
    id = host.calls("secret")
    for _ in range(2):
        assert browse(host.is_asked()["params"]["url"])[0] == 200
        assert host.hears()["method"] == "notifications/elicitation/complete"
    assert "HTTP 403" in host.gets_the_answer(id)


def test_a_server_that_wants_more_at_its_next_start_asks_again_at_once(start, far):
    far.needs["initialize"] = "start"
    host = Host(start())
    id = host.calls()
    for _ in range(2):
        question = host.hears(5)
        assert browse(question["params"]["url"])[0] == 200
        assert host.hears()["method"] == "notifications/elicitation/complete"
    assert host.gets_the_answer(id) == "where: here"


def _gives_less(far):
    def at_token(handler):
        far.at_token(handler)
        far.access = dict.fromkeys(far.access, "")
    return at_token


def test_a_login_that_cannot_begin_says_why(start, far):
    del far.metadata["registration_endpoint"]
    host = Host(start())
    id = host.calls()
    assert "the authorization server registers nobody by itself" in host.gets_the_answer(id)


def test_an_authorization_server_that_refuses_is_told(start, far):
    far.instead["/authorize"] = lambda handler: far.redirects(
        handler, error="access_denied", state=handler.sent["state"])
    host = Host(start())
    id = host.calls()
    browse(host.is_asked()["params"]["url"])
    assert host.gets_the_answer(id).endswith(
        "the login did not succeed: the authorization server refused: access_denied")


def test_a_router_that_ends_during_a_login_leaves_nothing(start):
    here = start()
    host = Host(here)
    host.calls()
    host.is_asked()
    here.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("far")]
