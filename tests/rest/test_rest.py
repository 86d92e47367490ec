"""Servers that start at their first use, and end when nobody needs them; with real processes."""

import sys
import threading
import time
from dataclasses import replace

import pytest

from upstreams.config.entries import Config
from upstreams.reload.reload import reload
from upstreams.rest.idle import idle_seconds
from upstreams.routing.status import table
from upstreams.sharing.tables import Server

SOON = 0.002        # minutes: 0.12 s
ASKABLE = {"elicitation": {}}
OURS = ["a__echo", "a__sleep", "a__crash", "a__ask"]
CHANGED = "notifications/tools/list_changed"


def learn(start, *servers):
    """Let a router, which has ended then, learn what these list."""
    router = start(*servers)
    client = router.client()
    client.tools()
    router.stop()


both_eras = pytest.mark.parametrize("era", ["modern", "legacy"])
both_ways = pytest.mark.parametrize("share, capabilities", [
    (True, {}), (True, ASKABLE), (False, ASKABLE)])


# -- first use

@both_eras
@both_ways
def test_before_its_first_use_a_server_shows_what_it_said_last_time(quick, start, era, share,
                                                                    capabilities):
    a, b = quick("a", era, start="first-use"), quick("b", era, start="first-use")
    learn(start, a, b)
    client = start(a, b, share=share).client(capabilities)
    assert client.hello["instructions"] == "[a]\nbe quick\n\n[b]\nbe quick"
    assert client.hello["capabilities"]["resources"]["subscribe"] is True
    assert client.tools() == OURS + [name.replace("a__", "b__") for name in OURS]
    assert client.ask("resources/list")["result"]["resources"] == [
        {"uri": "quick:/", "name": "quick"}]
    assert len(a.did("start")) == len(b.did("start")) == 1      # when it was learned
    assert client.call("a__echo", serial=7)["result"]["serial"] == 7
    assert len(a.did("start")) == 2 and len(b.did("start")) == 1
    assert client.news == []


@both_eras
@pytest.mark.parametrize("share", [True, False])
def test_without_a_memory_a_server_starts_once_to_be_learned(quick, start, era, share):
    a = quick("a", era, start="first-use", idle=SOON)
    client = start(a, share=share).client()
    assert client.tools() == OURS and len(a.did("start")) == 1
    assert a.rests() and client.tools() == OURS and len(a.did("start")) == 1


@both_eras
@both_ways
def test_lists_that_are_not_as_remembered_are_told(quick, start, era, share, capabilities):
    a = quick("a", era, start="first-use")
    learn(start, a)
    a.lists_also("new")
    client = start(a, share=share).client(capabilities)
    assert client.tools() == OURS
    client.call("a__echo", serial=1)
    client.hears(CHANGED)
    assert client.tools() == [*OURS, "a__new"]


def test_what_one_clients_own_process_lists_is_told_to_those_who_list_from_memory(quick, start):
    a = quick("a", "legacy", start="first-use")
    learn(start, a)
    a.lists_also("new")
    router = start(a)
    one, other = router.client(ASKABLE), router.client()
    assert one.tools() == other.tools() == OURS
    one.call("a__echo", serial=1)
    other.hears(CHANGED)
    assert other.tools() == [*OURS, "a__new"] and len(a.did("start")) == 2
    router.stop()
    assert start(a).client().tools() == [*OURS, "a__new"]


def test_a_server_that_lists_by_capabilities_is_remembered_with_each(quick, start):
    a = quick("a", "legacy", "by", start="first-use")
    router = start(a)
    plain, askable = router.client(), router.client(ASKABLE)
    plain.tools(), askable.tools()
    askable.call("a__echo", serial=1)
    askable.hears(CHANGED)
    assert askable.tools() == [*OURS, "a__of_client"] and plain.tools() == OURS
    router.look()
    router.stop()
    starts, router = len(a.did("start")), start(a)
    assert router.client(ASKABLE).tools() == [*OURS, "a__of_client"]
    assert router.client().tools() == OURS and len(a.did("start")) == starts


def test_what_one_client_alone_was_told_is_not_shown_to_one_that_can_be_asked_less(quick, start):
    a = quick("a", "legacy", "by", start="first-use")
    router = start(a, share=False)
    assert router.client(ASKABLE).tools() == [*OURS, "a__of_client"]
    router.look()
    router.stop()
    for capabilities, starts in ({}, 2), (ASKABLE, 2), ({"roots": {}}, 3), ({}, 3):
        router = start(a, share=False)
        client = router.client(capabilities)
        assert client.tools() == [*OURS, *["a__of_client"] * bool(capabilities)]
        assert len(a.did("start")) == starts
        router.look()
        router.stop()


def test_a_client_of_one_server_is_told_that_what_is_remembered_may_change(quick, start):
    a, b = quick("a", start="first-use"), quick("b")
    learn(start, a)
    router = start(a, b)
    assert router.client(name="a").hello["capabilities"]["resources"] == {
        "subscribe": True, "listChanged": True}
    assert router.client(name="b").hello["capabilities"]["resources"] == {"subscribe": True}


def test_the_table_tells_of_a_pattern_that_fits_nothing_while_its_server_rests(quick, start):
    a = quick("a", start="first-use", deny=("crahs*",))
    learn(start, a)
    upstream = start(a).upstream("a")
    known = threading.Event()
    upstream.when_settled(known.set)
    assert known.wait(20) and upstream.state == "resting"
    assert "crahs*, which fits no tool" in table([upstream])


@pytest.mark.parametrize("share", [True, False])
def test_a_reload_starts_what_is_to_run_from_now_on(quick, start, share):
    a = quick("a", start="first-use", idle=0)
    learn(start, a)
    router = start(a, share=share)
    client = router.client()
    assert client.tools() == OURS and len(a.did("start")) == 1
    reload(router.router, Config({"a": replace(a.entry, start="now")}, {}))
    for _ in range(1000):
        if len(a.did("start")) == 2:
            break
        client.ask("ping")
        threading.Event().wait(0.01)
    assert len(a.did("start")) == 2 and client.tools() == OURS


def test_what_has_changed_its_arguments_is_not_what_is_remembered(quick, start):
    a = quick("a", start="first-use")
    learn(start, a)
    a.lists_also("new")
    a.entry = quick("a", start="first-use", env=(("OTHER", "1"),)).entry
    assert start(a).client().tools() == [*OURS, "a__new"] and len(a.did("start")) == 2


def test_a_server_that_breaks_before_its_first_use_says_so_and_is_tried_again(quick, start):
    a = quick("a", start="first-use")
    learn(start, a)
    broken, client = a.breaks(), start(a).client()
    assert client.tools() == OURS
    assert "it is broken" in client.call("a__echo", serial=1)["error"]["message"]
    broken.unlink()
    client.hears(CHANGED)
    answer = client.call("a__echo", serial=2)
    while "error" in answer:    # until its restart
        answer = client.call("a__echo", serial=2)
    assert answer["result"]["serial"] == 2 and client.tools() == OURS


@pytest.mark.parametrize("share", [True, False])
def test_a_command_that_is_missing_at_the_first_use_is_tried_again(quick, start, tmp_path, share):
    a, command = quick("a", start="first-use"), tmp_path / "program"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    command.chmod(0o755)
    a.entry = replace(a.entry, command=str(command))
    router = start(a)
    router.client().tools()
    router.stop()
    router, away = start(a, share=share), command.rename(tmp_path / "away")
    client = router.client()
    assert client.tools() == OURS and "error" in client.call("a__echo", serial=1)
    away.rename(command)
    client.hears(CHANGED)
    answers = [client.call("a__echo", serial=2)]
    while "error" in answers[-1] and len(answers) < 5000:   # until its restart
        answers.append(client.call("a__echo", serial=2))
    assert answers[-1]["result"]["serial"] == 2 and client.tools() == OURS


# -- idle

def test_what_nobody_needs_ends_and_its_lists_stay(quick, start):
    a = quick("a", idle=SOON)
    router = start(a)
    client = router.client()
    client.call("a__echo", serial=1)
    starts = len(a.did("start"))
    assert a.rests() and client.tools() == OURS and client.news == []
    assert client.ask("resources/templates/list")["result"] == {"resourceTemplates": []}
    health = router.router.health()["servers"]["a"]
    assert health["state"] == "resting" and health["tools"] == 4 and health["restingSince"]
    assert health["cost"]["startSeconds"] >= 0 and health["revision"] == "2026-07-28"
    assert len(a.did("start")) == starts
    moment = time.strftime("%H:%M", time.localtime(health["restingSince"]))
    assert f"resting since {moment}" in table([router.upstream("a")])
    router.upstream("a").life.since -= 2 * 86400
    moment = time.strftime("%Y-%m-%d", time.localtime(health["restingSince"] - 2 * 86400))
    assert f"resting since {moment}" in table([router.upstream("a")])


@both_eras
def test_two_clients_that_need_what_rests_start_it_once(quick, start, era):
    a = quick("a", era, idle=5 * SOON)     # else it might rest again between the two
    router = start(a)
    one, two = router.client(), router.client()
    for n in range(5):
        a.rests()
        before, ids = len(a.did("start")), []
        go = threading.Barrier(2)
        threads = [threading.Thread(target=lambda client=client: (
            go.wait(), ids.append(client.begin("tools/call", name="a__echo", arguments={
                "serial": n})))) for client in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [client.end(n + 2)["result"]["serial"] for client in (one, two)] == [n, n]
        assert len(a.did("start")) == before + 1


def test_a_call_that_takes_long_keeps_its_process(quick, start):
    a = quick("a", idle=SOON)
    client = start(a).client()
    assert client.call("a__sleep", serial=1, seconds=0.5)["result"]["serial"] == 1
    assert len(a.did("start")) == 1 and a.rests()


def test_a_subscription_keeps_its_process_and_brings_it_back(quick, start):
    a = quick("a", idle=SOON)
    router = start(a)
    client = router.client()
    assert a.rests()
    assert "result" in client.ask("resources/subscribe", uri="quick:/")
    assert a.runs() == 1
    keeps(router, a)
    client.ask("resources/unsubscribe", uri="quick:/")
    assert a.rests()


def keeps(router, server, looks=30):
    """For some time, in which it would have rested long since."""
    tick = threading.Event()
    for _ in range(looks):
        router.look()
        tick.wait(0.02)
    assert server.runs() == 1


def test_a_question_keeps_its_process(quick, start):
    a = quick("a", idle=SOON)
    router = start(a)
    client = router.client(ASKABLE)
    id = client.begin("tools/call", name="a__ask", arguments={"serial": 5})
    question = client.hears("elicitation/create")
    keeps(router, a)
    client.answer(question, action="accept", content={})
    assert client.end(id)["result"]["serial"] == 5
    assert len(a.did("start")) == 1 and a.rests()


@pytest.mark.parametrize("ends", ["tasks/get", "tasks/result", "its ttl"])
def test_a_task_keeps_its_process_until_it_has_ended(quick, start, ends):
    a = quick("a", "legacy", idle=SOON)
    router = start(a)
    client = router.client()
    ttl = {"ttl": 1500} if ends == "its ttl" else {}
    client.ask("tools/call", name="a__echo", arguments={}, task=ttl)
    keeps(router, a)
    if not ttl:
        assert "result" in client.ask(ends, taskId="t")
    assert a.rests()


def test_a_client_keeps_the_process_that_is_its_own(quick, start):
    a = quick("a", "legacy", idle=SOON)
    router = start(a)
    client = router.client(ASKABLE)
    pid = client.call("a__echo", serial=1)["result"]["pid"]
    keeps(router, a)
    assert client.call("a__echo", serial=1)["result"]["pid"] == pid


def test_a_process_that_takes_turns_ends_even_if_it_is_the_last_one(quick, start):
    a = quick("a", "legacy", idle=SOON, shared=True)
    router = start(a)
    client = router.client(ASKABLE)
    assert a.rests()
    for serial in range(3):
        assert client.call("a__echo", serial=serial)["result"]["serial"] == serial
        assert a.rests() and client.tools() == OURS
    assert len(router.pool.upstreams()["a"]) == 1


def test_what_rests_notices_nothing_of_a_reload_and_what_has_changed_begins_anew(quick, start):
    a, b = quick("a", idle=SOON), quick("b", idle=SOON)
    router = start(a, b)
    client = router.client()
    client.tools()
    assert a.rests() and b.rests()
    changed = quick("b", "legacy", idle=SOON)
    reload(router.router, Config({"a": a.entry, "b": changed.entry}, {}))
    assert client.call("b__echo", serial=1)["result"]["serial"] == 1
    assert client.call("a__echo", serial=2)["result"]["serial"] == 2
    assert len(a.did("start")) == 2 and b.rests() and a.rests()


def test_a_server_that_a_reload_brings_is_told_although_it_does_not_start(quick, start):
    a, b = quick("a", start="first-use"), quick("b")
    learn(start, a)
    router = start(b)
    client = router.client()
    client.tools()
    reload(router.router, Config({"a": a.entry, "b": b.entry}, {}))
    client.hears(CHANGED)
    assert client.tools()[:4] == OURS and len(a.did("start")) == 1
    assert client.call("a__echo", serial=1)["result"]["serial"] == 1


def test_what_comes_back_is_as_it_was_for_who_comes_meanwhile(quick, start):
    a = quick("a", idle=SOON)
    router = start(a)
    one = router.client()
    assert a.rests()
    one.begin("tools/call", name="a__sleep", arguments={"seconds": 0.3, "serial": 1})
    other = router.client()
    assert other.hello["instructions"] == "[a]\nbe quick" and other.tools() == OURS
    single = router.client(name="a")
    assert single.hello["serverInfo"]["name"] == "quick"


def test_a_process_that_does_not_end_at_once_is_waited_for(quick, start):
    """Two of a kind could kill each other."""
    a = quick("a", "modern", idle=SOON)
    client = start(a).client()
    for serial in range(5):
        assert a.rests()
        assert client.call("a__echo", serial=serial)["result"]["serial"] == serial
    kinds = [line.split()[0] for line in a.file.read_text().splitlines()]
    kinds = [kind for kind in kinds if kind != "call"]
    assert kinds == ["start", "end"] * (len(kinds) // 2) + ["start"] * (len(kinds) % 2)


@pytest.mark.parametrize("config, era, seconds", [
    ({}, "modern", 1800), ({}, "legacy", None), ({}, None, None),
    ({"idle": 0}, "modern", None), ({"idle": 2}, "legacy", 120),
    ({"url": "http://localhost:1"}, "modern", None)])
def test_the_config_and_the_era_say_how_long_a_process_may_be_idle(quick, config, era, seconds):
    config = {"url": None, **config}
    entry = quick("a", **config).entry
    assert idle_seconds(Server(entry, era=era), True) == seconds
