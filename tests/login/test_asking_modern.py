"""A call that needs a login, of a client of revision 2026-07-28: it is asked to open the URL, and
its retry gets the answer when its user is done."""

import threading

import pytest
from authorization_server import browse

from upstreams.login.asking import Asking

pytest.importorskip("transports.stateless", reason="the room for such clients")

from modern_client import FORM, URL, Exchange, ModernClient  # noqa: E402

from transports.fabric.messages import SERVER_UNAVAILABLE  # noqa: E402
from transports.stateless.stateless import Stateless  # noqa: E402
from upstreams import login  # noqa: E402
from upstreams.config.entries import Entry  # noqa: E402
from upstreams.eras import open_life  # noqa: E402
from upstreams.routing.router import SERVER_INFO, Router  # noqa: E402
from upstreams.sharing.pool import Pool  # noqa: E402

NEEDS = "needs login: router.py --login far"


class Waited(Exchange):
    """An exchange whose answer comes from other threads."""

    def __init__(self):
        super().__init__()
        self._came = threading.Event()

    def send(self, message):
        super().send(message)
        if "method" not in message:
            self._came.set()

    @property
    def answer(self):
        assert self._came.wait(60), "no answer came"
        return super().answer


@pytest.fixture
def here(clock):
    """here(far, seconds): the Stateless of a router before this server."""
    started = []

    def start(far, seconds=5):
        def connect(entry, label):
            return login.connect(entry, label, clock, None, 2**20)
        entries = {"far": Entry("far", url=far.url, prefix="far__")}
        pool = Pool(entries, connect, clock, SERVER_INFO, 10, True, open_life)
        router, asking = Router(pool, clock), Asking(clock, seconds)
        pool.watch = asking.watch
        started.append((router, asking, pool))
        router.start()
        settled = threading.Event()
        pool.upstreams()["far"][0].when_settled(settled.set)
        assert settled.wait(60)
        return Stateless(router)
    yield start
    for router, asking, pool in started:
        for session in router.sessions.all():
            router.leave(session)
        asking.close()
        pool.close()


def client_of(stateless, capabilities=URL, name=None):
    return ModernClient(stateless, name, capabilities, exchange=Waited)


def calls(client, **more):
    return client.calls("where" if client.name else "far__where", arguments={}, **more)


def is_asked(exchange):
    (key, question), = (questions := exchange.is_asked())[0].items()
    assert question["method"] == "elicitation/create" and question["params"]["mode"] == "url"
    return key, question["params"]["url"], questions[1]


@pytest.mark.parametrize("name", [None, "far"])
@pytest.mark.parametrize("protocol", ["legacy", "modern"])
def test_the_client_is_asked_and_its_retry_is_answered_when_the_person_is_done(
        here, new_far, protocol, name):
    far = new_far(protocol)
    client = client_of(here(far), name=name)
    key, url, state = is_asked(calls(client))
    assert url.startswith(f"{far.issuer}/authorize?")
    retry = calls(client, state=state, answers={key: {"action": "accept"}})
    assert not retry.messages
    assert browse(url)[0] == 200
    assert retry.answer["content"][0]["text"] == "where: here"


def test_a_person_who_is_done_before_the_client_comes_back(here, new_far):
    client = client_of(here(new_far("legacy")))
    key, url, state = is_asked(calls(client))
    assert browse(url)[0] == 200
    assert calls(client, state=state, answers={key: {"action": "accept"}}).answer["content"]


@pytest.mark.parametrize("action", ["decline", "cancel"])
def test_a_person_who_does_not_want_to_log_in_gets_the_error(here, new_far, action):
    client = client_of(here(new_far("legacy")))
    key, _, state = is_asked(calls(client))
    answer = calls(client, state=state, answers={key: {"action": action}}).answer
    assert answer["code"] == SERVER_UNAVAILABLE and answer["message"].endswith(NEEDS)


def test_a_client_that_cannot_be_asked_to_open_a_url_gets_the_error_at_once(here, new_far):
    answer = calls(client_of(here(new_far("legacy")), FORM)).answer
    assert answer["message"].endswith(NEEDS)


def test_a_client_that_hangs_up_on_the_retry_ends_the_login(here, new_far):
    stateless = here(new_far("legacy"))
    client = client_of(stateless)
    key, _, state = is_asked(calls(client))
    (thread,) = (each for each in threading.enumerate() if each.name == "far-login")
    calls(client, state=state, answers={key: {"action": "accept"}}).hangs_up()
    thread.join(60)
    assert not thread.is_alive() and stateless.router.sessions.all() == []
