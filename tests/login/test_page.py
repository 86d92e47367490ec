"""A login that begins and ends on the page: the answer comes to the address of the router."""

import functools
import subprocess
import sys
import types
import urllib.error
import urllib.parse
import urllib.request

import pytest

from upstreams.config.entries import Entry
from upstreams.login import page
from upstreams.login.page import PageLogins
from upstreams.login.tokens import Tokens
from upstreams.login.web import LoginFailed

from processes import ROOT, wait_until

CALLBACK = "http://127.0.0.1:1/live/login/callback"
NEEDS = "needs login: router.py --login far"


@pytest.fixture
def logins(far, clock):
    """logins(**oauth): those of a router with this server, and one that has a header."""
    def make(**oauth):
        entries = {"far": Entry("far", url=far.url, oauth=tuple(sorted(oauth.items()))),
                   "near": Entry("near", "true"),
                   "known": Entry("known", url=far.url, headers=(("Authorization", "x"),))}
        return PageLogins(types.SimpleNamespace(entries=entries), clock)
    return make


def ends(url):
    """The query with which the authorization server sends the browser back."""
    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.build_opener(NoRedirect).open(url)
    with answer.value as answer:
        return urllib.parse.urlsplit(answer.headers["Location"]).query


def test_nothing_of_it_is_imported_until_a_remote_server_is_called_or_has_failed():
    code = """
import sys, types
from upstreams.login import Logins
entries = {"near": types.SimpleNamespace(url=None), "far": types.SimpleNamespace(url="https://x")}
with Logins(types.SimpleNamespace(entries=entries), None) as logins:
    assert not logins.mends("near", "needs login") and not logins.mends("far", None)
    print("upstreams.login.asking" in sys.modules, "http.client" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False False\n", done.stderr


def test_the_answer_logs_in_once(logins, far):
    here = logins()
    query = ends(here.begin("far", CALLBACK))
    assert far.asked("/register")[0]["redirect_uris"] == [CALLBACK]
    assert here.answer(query) == "far"
    assert Tokens(far.url).read()["access"] in far.access
    with pytest.raises(LoginFailed, match="no login waits for this answer"):
        here.answer(query)


@pytest.mark.parametrize("query", ["", "state=x&code=y", "a=1&" * 60, "state=%ff"])
def test_what_is_no_answer_is_refused(logins, query):
    here = logins()
    good = ends(here.begin("far", CALLBACK))
    with pytest.raises(LoginFailed):
        here.answer(query)
    assert here.answer(good) == "far"


def test_an_answer_that_says_no_is_told(logins, far):
    far.instead["/authorize"] = lambda handler: far.redirects(
        handler, error="access_denied", state=handler.sent["state"])
    here = logins()
    with pytest.raises(LoginFailed, match="refused: access_denied"):
        here.answer(ends(here.begin("far", CALLBACK)))


def test_logins_that_nobody_ends_have_a_bound_in_number_and_time(logins, monkeypatch):
    monkeypatch.setattr(page, "MOST", 2)
    here = logins()
    first, second, third = (ends(here.begin("far", CALLBACK)) for _ in range(3))
    with pytest.raises(LoginFailed, match="no login waits"):
        here.answer(first)
    assert here.answer(third) == "far"
    monkeypatch.setattr(page, "SECONDS", -1)
    late = ends(here.begin("far", CALLBACK))
    with pytest.raises(LoginFailed, match="too late"):
        here.answer(late)


@pytest.mark.parametrize("name, oauth, words", [
    ("nosuch", {}, "no login at such a server"), ("near", {}, "no login at such a server"),
    ("known", {}, "no login at such a server"),
    ("far", {"clientId": "me"}, "use router.py --login far"),
    ("far", {"callbackPort": 5}, "use router.py --login far"),
])
def test_a_login_that_cannot_be_done_on_a_page_says_so(logins, name, oauth, words):
    with pytest.raises(LoginFailed, match=words):
        logins(**oauth).begin(name, CALLBACK)


def test_a_problem_that_a_login_mends_is_known(logins):
    here = logins()
    assert here.mends("far", NEEDS) and not here.mends("far", "exited") \
        and not here.mends("far", None) and not here.mends("known", NEEDS)


# -- over HTTP

def ask(url, method="GET", **headers):
    """(status, body)"""
    request = urllib.request.Request(url, method=method, headers={
        name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()


def test_the_browser_comes_back_without_the_token_and_nothing_of_it_is_in_the_log(
        far, start_router, tmp_path):
    (tmp_path / "token").write_text("s3cret")
    running = start_router({"far": {"url": far.url}}, "--log-level", "debug", "--token-file",
                           str(tmp_path / "token"))
    login, key = f"{running.url}/live/login/far", {"Authorization": "Bearer s3cret"}
    post = functools.partial(ask, login, "POST")
    assert post()[0] == 401
    assert post(Origin="https://evil.example", **key)[0] == 403
    assert post(Sec_Fetch_Site="cross-site", **key)[0] == 403
    assert post(Origin="http://localhost:1", **key)[0] == post(**key)[0] == 403
    assert ask(login, **key)[0] == 405
    status, body = post(Origin=running.url, **key)
    assert status == 200
    query = ends(body.split('"')[3])
    back = f"{running.url}/live/login/callback"
    assert ask(f"{back}?code=x&state=%3Cb%3E", Sec_Fetch_Site="cross-site") == (400, ask(back)[1])
    status, body = ask(f"{back}?{query}", Sec_Fetch_Site="cross-site")
    assert status == 200 and "You are logged in at far." in body
    assert ask(f"{back}?{query}")[0] == 400
    assert wait_until(lambda: '"running"' in ask(f"{running.url}/health", **key)[1])
    running.stop()
    code, = dict(urllib.parse.parse_qsl(query))["code"],
    assert not [line for line in running.lines if code in line]


def test_without_the_page_there_is_no_login_on_it(far, start_router):
    running = start_router({"far": {"url": far.url}}, "--no-live")
    assert ask(f"{running.url}/live/login/far", "POST")[0] in (404, 405)
    assert ask(f"{running.url}/live/login/callback")[0] == 404
