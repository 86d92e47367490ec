"""One login, with an authorization server that does as it should, or anything else."""

import http.client
import json
import os
import socket
import stat
import struct
import threading
import time
import urllib.parse

import pytest
from authorization_server import browse, silent

from upstreams.config.entries import Entry
from upstreams.login import listener
from upstreams.login.attempt import Attempt, log_in, log_out
from upstreams.login.web import LoginFailed, Web

CALLBACK = "/callback"


class Person:
    """Someone before a browser, in a thread as a browser is. `do(url)`: what the person does."""

    def __init__(self, do=browse):
        self.urls, self.ended, self._do, self._threads = [], [], do, []

    def show(self, url):
        self.urls.append(url)
        self._threads.append(threading.Thread(target=lambda: self.ended.append(self._do(url))))
        self._threads[-1].start()

    def asked(self):
        """What the URL says."""
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.urls[-1]).query))

    def leaves(self):
        for thread in self._threads:
            thread.join(60)


@pytest.fixture
def login(entry, clock):
    """login(do, **oauth): lets a Person log in, and returns it; the record is in `.record`."""
    people = []

    def run(do=browse, seconds=5, pasted=None, stop=lambda: False, **oauth):
        person = Person(do)
        people.append(person)
        person.record = log_in(entry(**oauth), clock, person.show, stop, pasted, seconds)
        person.leaves()
        return person
    run.people = people
    yield run
    for person in people:
        person.leaves()


def fails(login, *arguments, **more):
    """The words of the failure."""
    with pytest.raises(LoginFailed) as failed:
        login(*arguments, **more)
    return str(failed.value)


def callback(url, **answer):
    """The address where the browser would end."""
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    return f"{asked['redirect_uri']}?" + urllib.parse.urlencode(
        {"state": asked["state"], "code": "c", **answer})


def modes(folder):
    return {stat.S_IMODE(os.stat(path).st_mode) for path in folder.iterdir()}


# -- as it should be

def test_a_person_logs_in_and_the_tokens_are_in_a_file_that_nobody_else_can_read(
        login, far, state, bearer):
    person = login()
    (name, value), = bearer().headers()
    assert name == "Authorization" and value.removeprefix("Bearer ") in far.access
    assert modes(state) == {0o600}
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert person.ended == [(200, listener._PAGE % listener.DONE)]
    asked = person.asked()
    assert asked["resource"] == far.url and asked["code_challenge_method"] == "S256"
    (sent,) = far.asked("/token")
    assert sent["resource"] == far.url and sent["redirect_uri"] == asked["redirect_uri"]


def test_the_next_login_is_by_the_same_client(login, far):
    login()
    login()
    assert len(far.asked("/register")) == 1


def test_two_logins_at_once_do_not_disturb_each_other(login, far):
    def second(url):
        other = login()
        return browse(url), other
    ((status, _), other), = login(second).ended
    assert status == 200 and other.ended[0][0] == 200
    assert len(far.access) == 2


# -- where the browser comes back to

def test_a_fixed_port_that_is_taken_is_told(login):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} of this machine" in fails(login, callbackPort=port)


def test_a_port_of_an_earlier_login_that_is_taken_by_now_is_another_one(login, far):
    port = urllib.parse.urlsplit(login().asked()["redirect_uri"]).port
    with socket.create_server(("127.0.0.1", port)):
        assert urllib.parse.urlsplit(login().asked()["redirect_uri"]).port != port
    assert len(far.asked("/register")) == 2


@pytest.mark.parametrize("uri", ["http://127.0.0.1:99999/x", "http://evil.example:80/x", "x",
                                 "https://localhost:7777/x", "http://localhost/x", "http://[::1"])
def test_an_address_for_the_answer_that_is_not_on_this_machine_is_refused(login, uri):
    assert fails(login, redirectUri=uri).startswith('"redirectUri" must be like http://127.0.0.1:')


@pytest.mark.parametrize("path", ["/oauth/callback", ""])
def test_the_config_can_say_the_whole_address_for_the_answer(login, far, path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    person = login(redirectUri=f"http://localhost:{port}{path}")
    assert person.asked()["redirect_uri"] == f"http://localhost:{port}{path}"
    assert person.ended[0][0] == 200


def test_a_login_after_one_on_the_page_does_not_take_the_port_of_the_router(login, far, clock,
                                                                            entry):
    attempt = Attempt(entry(), clock)
    url = attempt.begin("http://127.0.0.1:1/live/login/callback")
    attempt.finish(attempt.code_in(urllib.parse.urlsplit(_ends(url)).query))
    attempt.end()
    assert urllib.parse.urlsplit(login().asked()["redirect_uri"]).port != 1


def test_a_browser_that_is_closed_is_waited_for_so_long(login):
    began = time.monotonic()
    assert fails(login, lambda url: None, seconds=0.3) == "nobody logged in within 0.005 minutes"
    assert time.monotonic() - began < 2


def test_an_answer_with_another_state_is_not_the_answer(login):
    def attacked(url):
        return browse(callback(url, state="wrong", code="theirs")), browse(url)
    (refused, good), = login(attacked).ended
    assert refused == (400, listener._PAGE % listener.NOT_HERE) and good[0] == 200


def test_another_path_is_not_the_answer(login):
    def lost(url):
        return browse(callback(url).replace(CALLBACK, "/favicon.ico")), browse(url)
    (refused, good), = login(lost).ended
    assert refused[0] == 404 and good[0] == 200


def test_a_browser_that_opens_connections_in_advance_is_no_obstacle(login, monkeypatch):
    monkeypatch.setattr(listener, "MOST_SILENT", 2)

    def browser(url):
        port = urllib.parse.urlsplit(callback(url)).port
        early = [socket.create_connection(("127.0.0.1", port)) for _ in range(4)]
        try:
            began = time.monotonic()
            return browse(url)[0], time.monotonic() - began
        finally:
            for connection in early:
                connection.close()
    (status, seconds), = login(browser).ended
    assert status == 200 and seconds < 2


@pytest.mark.parametrize("said", [b"", b"GET /", b"GET /callback?state=x HTTP/1.1\r\n\r\n"])
def test_a_connection_that_breaks_is_no_obstacle(login, said):
    def breaks(url):
        with socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(
                callback(url)).port)) as connection:
            connection.sendall(said)
            # Closing it resets it.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return browse(url)
    assert login(breaks).ended[0][0] == 200


def test_a_request_that_comes_in_drips_is_no_obstacle(login):
    def drips(url):
        head = f"GET {CALLBACK}?state=x HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(
                callback(url)).port)) as connection:
            connection.sendall(head[:9])
            began = time.monotonic()
            status, _ = browse(url)
            return status, time.monotonic() - began
    (status, seconds), = login(drips).ended
    assert status == 200 and seconds < 2


def test_a_request_in_several_pieces_is_one(login):
    def in_pieces(url):
        head = f"GET {callback(url, state='wrong')} HTTP/1.1\r\n\r\n".replace(
            callback(url).partition(CALLBACK)[0], "").encode()
        with socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(
                callback(url)).port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in head:
                connection.sendall(bytes([byte]))
            answer = connection.makefile("rb").read()
        return answer, browse(url)
    (refused, good), = login(in_pieces).ended
    assert refused.startswith(b"HTTP/1.0 400") and good[0] == 200


def test_a_request_without_an_end_is_not_kept(login):
    def endless(url):
        with socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(
                callback(url)).port)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * listener.LONGEST_REQUEST)
            answer = connection.makefile("rb").readline()
        return answer, browse(url)
    (refused, good), = login(endless).ended
    assert refused.startswith(b"HTTP/1.0 4") and good[0] == 200


def test_an_answer_with_an_error_ends_the_login_and_is_shown_as_text(login, far):
    far.instead["/authorize"] = lambda handler: far.redirects(
        handler, error="access_denied", error_description="no\n\x1b[31m<b>",
        state=handler.sent["state"])
    assert fails(login) == ("the authorization server refused: access_denied: "
                            r"no\x0a\x1b[31m<b>")
    login.people[0].leaves()
    assert login.people[0].ended == [(400, listener._PAGE % listener.FAILED)]


def test_a_second_answer_counts_for_nothing(login, far):
    def twice(url):
        first = browse(url)
        try:
            return first, browse(callback(url, code="again"))
        except OSError:
            return first, None      # nobody listens any more
    (first, second), = login(twice).ended
    assert first[0] == 200 and (second is None or second[0] == 404)
    assert len(far.asked("/token")) == 1


@pytest.mark.parametrize("query", ["a=1&" * 60, "state=", "state=%ff", "=&" * 10, "x" * 60_000])
def test_an_answer_that_is_none_is_refused_and_the_login_goes_on(login, query):
    def attacked(url):
        return browse(f"{callback(url).partition('?')[0]}?{query}"), browse(url)
    (refused, good), = login(attacked).ended
    assert refused[0] == 400 and good[0] == 200


def test_nobody_who_waits_any_more_ends_the_login(login):
    asked = threading.Event()
    assert "nobody waits" in fails(login, lambda url: asked.set(), stop=asked.is_set)


@pytest.mark.parametrize("cut", [str, lambda url: url[url.index("?"):]],
                         ids=["whole", "from the question mark on"])
def test_the_address_where_the_browser_ended_can_be_pasted(login, cut):
    get, put = os.pipe()

    def paste(url):
        _, text = None, cut(_ends(url))
        for piece in (b"\n", b"what?\n", text[:30].encode(), f"{text[30:]}\n".encode()):
            os.write(put, piece)
    with open(get, "rb") as pasted:
        login(paste, pasted=pasted)
    os.close(put)


def test_the_address_can_be_pasted_at_a_terminal(login):
    leader, follower = os.openpty()
    with open(follower, "rb", buffering=0) as pasted:
        login(lambda url: os.write(leader, f"{_ends(url)}\r".encode()), pasted=pasted)
    os.close(leader)


@pytest.mark.parametrize("text", ["http://[x?state=1", "http://a\u2100b?state=1", "?",
                                  "x" * 70_000])
def test_what_is_pasted_and_is_no_address_is_no_obstacle(login, text, caplog):
    get, put = os.pipe()
    with open(get, "rb") as pasted, open(put, "wb") as person:
        login(lambda url: person.write(f"{text}\n{_ends(url)}\n".encode()) and person.flush(),
              pasted=pasted)
    assert "what was pasted is not the answer to this login" in caplog.text


def test_who_pastes_the_address_that_was_to_be_opened_is_told_which_one_to_paste(login, caplog):
    get, put = os.pipe()
    with open(get, "rb") as pasted, open(put, "wb") as person:
        login(lambda url: person.write(f"{url}\n{_ends(url)}\n".encode()) and person.flush(),
              pasted=pasted)
    assert "paste the whole address of the page where the browser ended" in caplog.text


@pytest.mark.parametrize("kind", ["/dev/null", "pipe", "file"])
def test_a_standard_input_at_its_end_is_no_obstacle(login, kind, tmp_path):
    get, put = os.pipe()
    os.close(put)
    (tmp_path / "file").write_text("")
    with open(get, "rb") as pipe, open("/dev/null") as null, open(tmp_path / "file") as file:
        login(pasted={"/dev/null": null, "pipe": pipe, "file": file}[kind])


def _ends(url):
    """Where the browser of another machine ends."""
    parts = urllib.parse.urlsplit(url)
    there = http.client.HTTPConnection(parts.netloc)
    there.request("GET", f"{parts.path}?{parts.query}")
    location = there.getresponse().headers["Location"]
    there.close()
    return location


# -- metadata

WELL_KNOWN = "/.well-known/oauth-authorization-server"
RESOURCE = "/.well-known/oauth-protected-resource/mcp"
LOOP = {"Location": WELL_KNOWN}


@pytest.mark.parametrize("answer, words", [
    (lambda handler: handler.sends(200, "text/html", "<html>hello"), "has no metadata"),
    (lambda handler: handler.sends(200, "application/json", json.dumps({"x": "y" * 5_000_000})),
     "has no metadata"),
    (lambda handler: handler.sends(200, "application/json", "[" * 60_000), "has no metadata"),
    (lambda handler: handler.sends(302, "text/plain", "", **LOOP), "redirects too often"),
    (lambda handler: handler.sends(302, "text/plain", "", Location="https://other.example/"),
     "redirects to another scheme"),
    (lambda handler: handler.sends(302, "text/plain", "", Location="file:///etc/passwd"),
     "redirects to another scheme"),
    (lambda handler: handler.json({"issuer": "https://other.example"}), "is about another one"),
], ids=["HTML", "5 MB", "deep", "a loop", "to another scheme", "to a file", "another issuer's"])
def test_what_is_no_metadata_of_this_authorization_server_is_told(login, far, answer, words):
    far.instead[WELL_KNOWN] = answer
    assert words in fails(login)
    assert login.people[0].urls == [] and not far.asked("/register")


@pytest.mark.parametrize("change, words", [
    ({"code_challenge_methods_supported": None}, "PKCE with S256"),
    ({"code_challenge_methods_supported": ["plain"]}, "PKCE with S256"),
    ({"registration_endpoint": None}, '{"oauth": {"clientId": "…"}}'),
    ({"token_endpoint": "ftp://127.0.0.1/"}, "token endpoint of the authorization server: its"),
    ({"token_endpoint": 5}, "token endpoint of the authorization server is no URL"),
    ({"authorization_endpoint": "http://other.example/authorize"}, "must begin with https://"),
    ({"authorization_endpoint": "javascript:alert(1)"}, "must begin with http:// or https://"),
    ({"authorization_endpoint": f"https://x.example/{'y' * 3000}"}, "is no URL"),
])
def test_metadata_with_which_nobody_can_log_in_is_told(login, far, change, words):
    far.metadata |= change
    assert words in fails(login)
    assert login.people[0].urls == []


@pytest.mark.parametrize("change, words", [
    ({"resource": "https://other.example/mcp"}, "which is another server"),
    ({"resource": "http://127.0.0.1:99999/mcp"}, "which is another server"),
    ({"authorization_servers": []}, "names no authorization server"),
    ({"authorization_servers": [7]}, "names no authorization server"),
    ({"authorization_servers": ["http://other.example"]}, "must begin with https://"),
])
def test_metadata_of_the_server_that_does_not_help_is_told(login, far, change, words):
    far.resource |= change
    assert words in fails(login)


def test_a_registration_that_is_refused_is_told(login, far):
    far.instead["/register"] = lambda handler: handler.json(
        {"error": "invalid_client_metadata", "error_description": "no"}, 400)
    assert fails(login) == ("the authorization server did not register us: "
                            "invalid_client_metadata: no")


def test_an_authorization_server_that_does_not_answer_is_given_up(login, far, monkeypatch):
    monkeypatch.setattr("upstreams.login.web.SECONDS", 2.0)
    far.instead[WELL_KNOWN] = silent
    assert fails(login).endswith("does not answer: timed out")


def test_the_config_can_say_where_the_metadata_is_and_which_client_we_are(login, far):
    far.clients["me"] = "my secret"
    far.instead["/there"] = lambda handler: handler.json(far.metadata)
    far.resource["authorization_servers"] = ["https://wrong.example"]
    person = login(metadataUrl=f"{far.issuer}/there", clientId="me", clientSecret="my secret",
                   scope="a b")
    assert person.asked()["scope"] == "a b" and not far.asked("/register")


# -- tokens

@pytest.mark.parametrize("answer, expires", [
    ({"expires_in": None}, False), ({"expires_in": "3600"}, True), ({"expires_in": -1}, False),
    ({"expires_in": "soon"}, False), ({"expires_in": 1e300}, True),
    ({"expires_in": 10**400}, False), ({"expires_in": [1]}, False),
    ({"token_type": "bearer"}, True),
    ({"refresh_token": None}, True), ({"refresh_token": ["x"]}, True),
])
def test_a_token_answer_may_be_as_servers_make_it(login, far, bearer, answer, expires):
    far.token_answer = answer
    assert bool(login().record["expires"]) == expires
    assert bearer().headers()


@pytest.mark.parametrize("answer, words", [
    ({"access_token": None}, "gave no bearer token"),
    ({"access_token": "x\r\nHost: y"}, "gave no bearer token"),
    ({"access_token": "x" * 20_000}, "gave no bearer token"),
    ({"token_type": "mac"}, "gave no bearer token"),
    ({"error": "bad_verification_code"}, "refused: bad_verification_code"),    # as GitHub has it
])
def test_a_token_answer_without_a_token_is_told(login, far, state, answer, words):
    far.token_answer = answer
    assert words in fails(login)
    assert not [*state.glob("*.json")]


def test_a_token_endpoint_that_takes_no_resource_is_asked_without_and_that_is_remembered(
        login, far, bearer):
    take = far.at_token

    def at_token(handler):
        if "resource" in handler.sent:
            handler.json({"error": "invalid_target"}, 400)
        else:
            take(handler)
    far.instead["/token"] = at_token
    login()
    assert ["resource" in sent for sent in far.asked("/token")] == [True, False]
    assert "resource" not in login().asked()
    used = bearer()
    far.forget()
    assert used.headers(used.headers()) != []
    assert ["resource" in sent for sent in far.asked("/token")][2:] == [False, False]


def test_a_client_that_the_authorization_server_has_forgotten_registers_anew(login, far, bearer):
    login()
    far.clients.clear()
    used = bearer()
    assert used.headers(used.headers()) == []
    login()
    assert len(far.asked("/register")) == 2 and bearer().headers()


def test_a_client_that_is_forgotten_while_its_tokens_are_good_registers_anew_after_a_failure(
        login, far):
    login()
    far.clients.clear()
    assert "invalid_client" in fails(login)
    login()
    assert len(far.asked("/register")) == 2


def test_a_login_that_fails_costs_the_earlier_one_nothing(login, far, bearer):
    login()
    fails(login, lambda url: None, seconds=0.1)
    used = bearer()
    far.forget()
    assert used.headers(used.headers()) != []


def test_another_authorization_server_gets_nothing_of_the_old_one(login, far, new_far, state):
    record, other = login().record, new_far()
    far.resource["authorization_servers"] = [other.issuer]
    login()
    told = json.dumps(other.seen)
    for old in (record["access"], record["refresh_token"], record["client"]["id"],
                record["client"]["secret"]):
        assert old not in told
    assert len([*state.glob("*.json")]) == 1


@pytest.mark.parametrize("path, key", [("/register", "client_id"), ("/register", "client_secret"),
                                       ("/token", "access_token")])
def test_half_of_a_character_makes_an_answer_useless(login, far, path, key):
    answer = {"client_id": "me", "client_secret": "s", "access_token": "x",
              "token_type": "bearer", key: "\ud800"}
    far.instead[path] = lambda handler: handler.json(answer)
    assert {"/register": "did not register us", "/token": "gave no bearer token"}[path] \
        in fails(login)


def test_an_answer_that_does_not_end_is_not_taken_for_a_whole_one(login, far, monkeypatch):
    monkeypatch.setattr("upstreams.login.web.SECONDS", 2.0)

    def endless(handler):
        handler.begins_events()
        silent(handler)
    far.instead["/.well-known/oauth-protected-resource/mcp"] = endless
    assert fails(login) == "the metadata of the server does not answer: timed out"


def test_a_server_elsewhere_cannot_send_us_to_this_machine(clock, far):
    web = Web(Entry("far", url="https://mcp.example.com/mcp"), clock)
    with pytest.raises(LoginFailed, match="is on this machine, and the server is not"):
        web.get(far.issuer, "it")
    assert far.seen == []


# -- the folder

def test_a_folder_that_cannot_be_written_is_told_before_anybody_is_asked(
        login, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert "cannot be written" in fails(login)
    assert login.people[0].urls == []


def test_a_user_without_a_home_cannot_log_in_and_the_server_is_reached(
        login, monkeypatch, bearer):
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)    # as if there were none
    assert bearer().headers() == [] and not bearer().changed()
    assert "has no home" in fails(login)


def test_a_folder_that_is_relative_is_not_used(login, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    login()
    assert [*(tmp_path / "home").rglob("*.json")] and not os.path.exists("state")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_folder_of_somebody_else_is_refused(login, state):
    state.mkdir(mode=0o700, parents=True)
    os.chown(state, 1234, -1)
    assert "it must be yours, with mode 700" in fails(login)


def test_tokens_that_others_can_read_are_refused(login, state, bearer):
    login()
    (file,) = state.glob("*.json")
    file.chmod(0o644)
    with pytest.raises(LoginFailed, match="can be read by others"):
        bearer().headers()
    assert "can be read by others" in fails(login)


def test_a_file_that_is_damaged_is_as_none(login, state, bearer):
    login()
    (file,) = state.glob("*.json")
    whole = json.loads(file.read_text())
    texts = ["{", "[" * 100_000, "{}", '{"server": 7}']
    for key in whole.keys() - {"revoke", "raised"}:
        texts += [json.dumps({name: value for name, value in whole.items() if name != key}),
                  json.dumps({**whole, key: {"x": 7}})]
    for text in texts:
        file.write_text(text)
        assert bearer().headers() == [], text
    login()
    assert bearer().headers()


# -- the end

def test_a_logout_forgets_the_tokens_and_has_them_revoked(login, far, entry, clock, bearer):
    login()
    assert log_out(entry(), clock) == "logged out"
    assert not far.refresh and bearer().headers() == []
    assert log_out(entry(), clock) == "nobody was logged in"


def test_a_logout_after_a_login_that_nobody_ended_forgets_the_earlier_one(
        login, far, entry, clock, bearer):
    far.token_answer = {"refresh_token": None}
    login()
    fails(login, lambda url: None, seconds=0.1)
    assert bearer().headers() != []
    assert log_out(entry(), clock) == "logged out"
    assert bearer().headers() == []


def test_tokens_that_others_can_read_can_be_forgotten(login, state, entry, clock):
    login()
    (file,) = state.glob("*.json")
    file.chmod(0o644)
    assert "can be read by others" in log_out(entry(), clock)
    assert not file.exists()


def test_a_logout_forgets_what_a_router_that_was_killed_has_begun_to_write(
        login, state, entry, clock):
    login()
    (file,) = state.glob("*.json")
    file.with_suffix(".new").write_text(file.read_text())
    log_out(entry(), clock)
    assert {path.suffix for path in state.iterdir()} == {".lock"}


@pytest.mark.parametrize("answer, words", [
    (lambda handler: handler.json({"error": "unsupported"}, 400),
     "logged out here; the authorization server was not told: unsupported"),
    (None, "logged out here; the authorization server cannot be told"),
])
def test_a_logout_that_the_authorization_server_does_not_hear_says_so(
        login, far, entry, clock, bearer, answer, words):
    if answer:
        far.instead["/revoke"] = answer
    else:
        del far.metadata["revocation_endpoint"]
    login()
    assert log_out(entry(), clock) == words and bearer().headers() == []
