"""The header of a remote server, from the tokens of a login: refreshed when that must be, by one
router at a time, and never lost for less than a refusal."""

import logging
import threading
import time

import pytest
from authorization_server import browse, silent

from upstreams.connections.remote.connection import HttpFailed
from upstreams.login.attempt import log_in
from upstreams.login.tokens import Tokens
from upstreams.login.web import LoginFailed


@pytest.fixture
def logged_in(far, entry, clock):
    """logged_in(**change): somebody has logged in, and the record says this instead."""
    def run(**change):
        threads = []

        def show(url):
            threads.append(threading.Thread(target=browse, args=(url,)))
            threads[-1].start()
        record = {**log_in(entry(), clock, show, lambda: False, seconds=5), **change}
        threads[0].join()
        Tokens(far.url).write(record)
        return record
    return run


def token(headers):
    (_, value), = headers
    return value.removeprefix("Bearer ")


def refreshes(far):
    return [sent for sent in far.asked("/token") if sent["grant_type"] == "refresh_token"]


def soon():
    return {"expires": time.time() + 5, "got": time.time() - 3600}


def over():
    return {"expires": time.time() - 5, "got": time.time() - 3600}


def test_a_token_is_used_while_it_is_good(far, bearer, logged_in):
    record, used = logged_in(), bearer()
    assert token(used.headers()) == token(used.headers()) == record["access"]
    assert refreshes(far) == []


@pytest.mark.parametrize("when", [soon, over])
def test_a_token_is_refreshed_before_its_end(far, bearer, logged_in, when):
    record, used = logged_in(**when()), bearer()
    assert token(used.headers()) == token(used.headers()) != record["access"]
    (sent,) = refreshes(far)
    assert sent["refresh_token"] == record["refresh_token"] and sent["resource"] == far.url
    assert Tokens(far.url).read()["access"] == token(used.headers())


def test_a_token_that_the_server_refuses_is_refreshed(far, bearer, logged_in):
    logged_in()
    used = bearer()
    before = used.headers()
    assert token(used.headers(before)) in far.access and used.headers() != before
    assert used.headers(before) == used.headers(), "another one was refused meanwhile"
    assert len(refreshes(far)) == 1


def test_a_refresh_without_a_new_refresh_token_keeps_the_old_one(far, bearer, logged_in):
    record = logged_in()
    far.token_answer = {"refresh_token": None}
    used = bearer()
    used.headers(used.headers())
    assert Tokens(far.url).read()["refresh_token"] == record["refresh_token"]


@pytest.mark.parametrize("when", [
    {"expires": time.time() + 7200, "got": time.time() + 3600},     # it was ahead, at the login
    {"expires": time.time() - 600, "got": time.time() - 4200},      # it is ahead
], ids=["an hour ahead at the login", "an hour ahead now"])
def test_a_wrong_clock_costs_a_refresh_at_most(far, bearer, logged_in, when):
    logged_in(**when)
    far.forget()
    used = bearer()
    headers = used.headers()
    if token(headers) not in far.access:    # what the router does when it gets a 401
        headers = used.headers(headers)
    assert token(headers) in far.access and len(refreshes(far)) == 1


def test_a_token_that_nobody_can_refresh_is_used_until_the_server_refuses_it(
        far, bearer, logged_in):
    record = logged_in(**over(), refresh_token=None)
    used = bearer()
    assert token(used.headers()) == token(used.headers(used.headers())) == record["access"]
    assert refreshes(far) == []


@pytest.mark.parametrize("status, answer", [
    (400, {"error": "invalid_grant"}), (401, {"error": "invalid_grant"}),
    (200, {"error": "bad_refresh_token"})])
def test_a_refresh_that_is_refused_ends_the_login(far, bearer, logged_in, caplog, status, answer):
    logged_in()
    far.instead["/token"] = lambda handler: handler.json(answer, status)
    used = bearer()
    assert used.headers(used.headers()) == used.headers() == bearer().headers() == []
    assert len(refreshes(far)) == 1
    assert f"far: its login has ended: the token endpoint refused: {answer['error']}" in \
        caplog.text


@pytest.mark.parametrize("answer, words", [
    (lambda handler: handler.sends(500, "text/html", "<h1>oops"), "refused: HTTP 500"),
    (lambda handler: handler.sends(403, "text/html", "a captive portal"), "refused: HTTP 403"),
    (lambda handler: handler.sends(400, "text/html", "a proxy"), "refused: HTTP 400"),
    (lambda handler: handler.json({"error": "slow_down"}, 429), "refused: slow_down"),
    (lambda handler: handler.json({"error": "server_error"}, 400), "server_error"),
    (lambda handler: handler.json({}), "gave no bearer token"),
    (lambda handler: handler.sends(307, "text/html", "", Location="/x"), "HTTP 307"),
    (silent, "does not answer: timed out"),
], ids=["500", "403", "400 without a reason", "429", "unavailable", "nothing", "redirect",
        "never"])
def test_a_refresh_that_fails_for_another_reason_is_tried_again(
        far, bearer, logged_in, monkeypatch, answer, words):
    monkeypatch.setattr("upstreams.login.web.SECONDS", 2.0)
    record = logged_in(**soon())
    far.instead["/token"] = answer
    used = bearer()
    assert token(used.headers()) == record["access"], "it is still good"
    for _ in range(3):      # and nobody waits for it each time
        with pytest.raises(LoginFailed, match=words):
            used.headers(used.headers())
    assert len(refreshes(far)) == 1
    del far.instead["/token"]
    later = bearer()
    assert token(later.headers()) != record["access"], "the refresh token was not lost"


def test_of_many_who_need_a_new_token_one_gets_it(far, bearer, logged_in):
    logged_in(**over())
    got, all_ready = [], threading.Barrier(8)

    def need(one):
        all_ready.wait()
        got.append(token(one.headers()))
    bearers = [bearer() for _ in range(4)]
    threads = [threading.Thread(target=need, args=(one,)) for one in bearers * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refreshes(far)) == 1 and len(got) == 8 and len(set(got)) == 1


def test_a_router_that_holds_the_tokens_and_does_not_go_on_is_not_waited_for(
        far, bearer, logged_in, monkeypatch):
    monkeypatch.setattr("upstreams.login.tokens.LOCK_SECONDS", 0.1)
    record = logged_in(**over())
    with Tokens(far.url).lock(), pytest.raises(LoginFailed, match="another router holds"):
        bearer().headers()
    assert token(bearer().headers()) != record["access"]


def test_a_life_that_ends_does_not_wait_for_a_router_that_holds_the_tokens(bearer, logged_in):
    logged_in(**over())
    used, problems = bearer(), []

    def asks():
        with pytest.raises(LoginFailed, match="nobody waits") as problem:
            used.headers()
        problems.append(problem)
    thread = threading.Thread(target=asks)
    with Tokens(used.entry.url).lock():
        thread.start()
        used.stop()
        thread.join(60)
        assert not thread.is_alive() and problems


def test_new_tokens_are_in_their_file_before_the_disk_is_waited_for(
        bearer, logged_in, monkeypatch):
    record, seen = logged_in(**over()), []
    tokens = Tokens(record["server"])
    monkeypatch.setattr("os.fsync", lambda _file: seen.append(tokens.read()))
    got = token(bearer().headers())     # who is killed from here on has lost nothing
    assert [each["access"] for each in seen] == [got] != [record["access"]]


def test_tokens_that_another_program_wrote_are_used_at_once(bearer, logged_in):
    used = bearer()
    assert used.headers() == [] and not used.changed()
    record = logged_in()
    assert used.changed()
    assert token(used.headers()) == record["access"] and not used.changed()


def test_a_folder_that_cannot_be_written_any_more_costs_nothing_before_the_end_of_the_token(
        far, bearer, logged_in, state, caplog):
    record = logged_in(**soon())
    state.chmod(0o777)      # then we do not trust it any more, as root could write it
    used = bearer()
    assert token(used.headers()) == record["access"]
    assert "its tokens could not be refreshed" in caplog.text and refreshes(far) == []


def test_new_tokens_that_cannot_be_written_last_as_long_as_the_router(
        far, bearer, logged_in, state, caplog):
    record = logged_in(**over())

    def at_token(handler):
        state.chmod(0o777)
        far.at_token(handler)
    far.instead["/token"] = at_token
    used = bearer()
    assert token(used.headers()) == token(used.headers()) != record["access"]
    assert "its new tokens will be lost with this router" in caplog.text
    assert len(refreshes(far)) == 1


def test_what_a_server_repeats_of_our_secrets_is_not_shown(far, bearer, logged_in, caplog):
    caplog.set_level(logging.DEBUG)
    record = logged_in()
    far.instead["/token"] = lambda handler: handler.json(
        {"error": "invalid_grant", "error_description": str(handler.sent)}, 400)
    used = bearer()
    used.headers(used.headers())
    assert "invalid_grant" in caplog.text
    for secret in (record["access"], record["refresh_token"], record["client"]["secret"]):
        assert secret not in caplog.text


# -- what the server wants

def refusal(status, *challenges):
    problem = HttpFailed("no")
    problem.status, problem.challenges = status, challenges
    return problem


def insufficient(*scopes):
    return refusal(403, f'Bearer error="insufficient_scope", scope="{" ".join(scopes)}"')


def test_a_refusal_that_a_login_can_mend_says_how(bearer, logged_in):
    logged_in()
    used = bearer()
    for problem in (refusal(401), refusal(401, "Basic, Bearer"), insufficient("a")):
        assert used.needed(problem) == "needs login: router.py --login far"
    for problem in (refusal(403), refusal(500), refusal(None), refusal(403, "Bearer error=x")):
        assert used.needed(problem) is None


def test_rights_that_somebody_needs_who_is_not_logged_in_are_a_reason_to_log_in(bearer):
    assert bearer().needed(insufficient("a")) == "needs login: router.py --login far"


def test_more_rights_are_those_of_before_and_those_that_are_needed(far, bearer, logged_in):
    logged_in()
    used = bearer()
    used.headers()
    for scopes in (("a", "b"), ("b", "c")):
        used.needed(insufficient(*scopes))
        logged_in()
        used.headers()
    assert [asked.get("scope") for asked in far.asked("/authorize")] == [None, "a b", "a b c"]


def test_more_rights_are_asked_for_three_times_at_most(bearer, logged_in):
    logged_in()
    used, asked = bearer(), 0
    while used.needed(insufficient(f"more-{asked}")):
        logged_in()
        asked += 1
    assert asked == 3


def test_scopes_that_a_server_makes_up_have_a_bound(far, bearer, logged_in):
    logged_in()
    used = bearer()
    for number in range(40):
        used.needed(insufficient(*(f"{number}-{i}" for i in range(10))))
    assert len(Tokens(far.url).read()["more"]) == 100
