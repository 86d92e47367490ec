"""Lists, as clients of revision 2026-07-28 see them: how long they may keep one, and for whom."""

import pytest
from modern_client import FORM, META, BothEras, legacy, modern, modern_client

HINTS = {"ttlMs": 60000, "cacheScope": "public"}


def plays_lists(**more):
    """A modern server whose list of tools the test gives itself."""
    return modern(**{"tools": (), "lists": {}, "capabilities": {"tools": {}}, **more})


def answers(world, label, **result):
    """The server answers what it was asked last."""
    message = world[label].take()
    assert message["method"] == "tools/list"
    world[label].says(id=message["id"], result={
        "resultType": "complete", "tools": [{"name": label}], **result})


def listed(world, **parts):
    """What a list of all servers together says beside the items, from these parts."""
    for label, part in parts.items():
        answers(world, label)
    asked = modern_client(world).asks("tools/list")
    for label, part in parts.items():
        answers(world, label, **part)
    answer = asked.get()["result"]
    assert [tool["name"] for tool in answer["tools"]] == [f"{label}__{label}" for label in parts]
    return answer["ttlMs"], answer["cacheScope"]


def test_a_list_of_all_may_be_kept_as_long_as_each_of_its_parts():
    world = BothEras(a=plays_lists(), b=plays_lists())
    assert listed(world, a=HINTS, b={**HINTS, "ttlMs": 5000}) == (5000, "public")


def test_a_list_with_one_private_part_is_private():
    world = BothEras(a=plays_lists(), b=plays_lists())
    assert listed(world, a=HINTS, b={**HINTS, "cacheScope": "private"}) == (60000, "private")


@pytest.mark.parametrize("part", [
    {}, {"ttlMs": -1}, {"ttlMs": "60000"}, {"ttlMs": True}, {"ttlMs": None}, {"ttlMs": 1e5},
    {"cacheScope": "everybody"}, {"cacheScope": ["public"]}])
def test_a_part_without_a_hint_or_with_none_that_can_be_read_is_not_to_be_kept(part):
    world = BothEras(a=plays_lists(), b=plays_lists())
    seconds, scope = listed(world, a=HINTS, b=part)
    assert seconds == 0 if "cacheScope" not in part else scope == "private"


def test_a_list_in_front_of_a_legacy_server_is_not_to_be_kept():
    world = BothEras(a=plays_lists(), b=legacy(tools=["b"]))
    answers(world, "a")
    asked = modern_client(world).asks("tools/list")
    answers(world, "a", **HINTS)
    answer = asked.get()["result"]
    assert (answer["ttlMs"], answer["cacheScope"]) == (0, "private")
    assert len(answer["tools"]) == 2


def test_a_list_that_lacks_a_server_is_not_to_be_kept():
    world = BothEras(a=plays_lists(), b=modern(missing=True))
    assert listed(world, a=HINTS) == (0, "private")


def test_a_list_that_came_without_a_slow_server_is_not_to_be_kept():
    world = BothEras(a=plays_lists(), b=plays_lists())
    for label in "ab":
        answers(world, label)
    asked = modern_client(world).asks("tools/list")
    answers(world, "a", **HINTS)
    world.clock.advance(10)
    answer = asked.get()["result"]
    assert (answer["ttlMs"], answer["cacheScope"]) == (0, "private")


def test_of_several_pages_the_shortest_time_counts():
    world = BothEras(a=plays_lists())
    answers(world, "a")
    asked = modern_client(world).asks("tools/list")
    answers(world, "a", **HINTS, nextCursor="2")
    answers(world, "a", **{**HINTS, "ttlMs": 7})
    answer = asked.get()["result"]
    assert (answer["ttlMs"], answer["cacheScope"]) == (7, "public")


def test_a_list_of_one_server_is_passed_on_page_by_page_with_its_hints():
    world = BothEras(a=plays_lists())
    answers(world, "a")
    client = modern_client(world, "a")
    asked = client.asks("tools/list")
    answers(world, "a", **HINTS, nextCursor="2")
    answer = asked.get()["result"]
    assert (answer["nextCursor"], answer["ttlMs"], answer["cacheScope"]) == ("2", 60000, "public")
    client.asks("tools/list", cursor="2")
    assert world["a"].take()["params"]["cursor"] == "2"


def test_a_list_of_one_legacy_server_is_completed():
    world = BothEras(a=legacy())
    answer = modern_client(world, "a").asks("tools/list").get()["result"]
    assert answer == {"resultType": "complete", "tools": [{"name": "t"}], "ttlMs": 0,
                      "cacheScope": "private",
                      "_meta": {META + "serverInfo": {"name": "a", "version": "1"}}}


def test_a_list_of_no_server_is_not_to_be_kept():
    world = BothEras(a=legacy())
    answer = modern_client(world).asks("prompts/list").get()["result"]
    assert (answer["prompts"], answer["ttlMs"], answer["cacheScope"]) == ([], 0, "private")


# -- servers that are still starting


@pytest.mark.parametrize("name", ["a", None])
def test_a_first_list_waits_for_a_server_that_starts(name):
    world = BothEras(a=legacy(slow=True))
    asked = modern_client(world, name).asks("tools/list")
    assert asked.gets() == []
    world["a"].answer_initialize()
    assert len(asked.answer["tools"]) == 1
    assert world.router.sessions.all() == []


def test_a_first_completion_waits_for_the_one_server_that_starts():
    world = BothEras(a=legacy(slow=True, capabilities={"completions": {}}, prompts=["p"]))
    asked = modern_client(world, "a").asks(
        "completion/complete", ref={"type": "ref/prompt", "name": "p"}, argument={})
    assert asked.gets() == []
    world["a"].answer_initialize()
    message = world["a"].take()
    assert message["method"] == "completion/complete"
    world["a"].says(id=message["id"], result={"completion": {"values": []}})
    assert asked.answer["completion"] == {"values": []}


def test_a_list_of_the_one_server_says_why_it_has_not_started():
    world = BothEras(a=legacy(slow=True))
    asked = modern_client(world, "a").asks("tools/list")
    world["a"].dies()
    assert "out of luck" in asked.answer["message"]


def test_a_first_list_of_a_server_that_lists_by_capabilities_waits_for_its_process():
    world = BothEras(a=legacy(slow=True, config={"lists_by_capabilities": True}))
    world["a"].answer_initialize()
    asked = modern_client(world, "a", FORM).asks("tools/list")
    assert asked.gets() == []
    world.made[-1].answer_initialize()
    assert asked.answer["tools"] == [{"name": "t"}]


def test_a_list_of_all_does_not_wait_for_a_server_that_has_failed_to_start_before():
    world = BothEras(a=legacy(), b=legacy(slow=True))
    asked = modern_client(world).asks("tools/list")
    assert asked.gets() == []
    world["b"].dies()
    assert len(asked.answer["tools"]) == 1
    asked = modern_client(world).asks("tools/list")
    assert len(world.made) == 3 and not world["b"].closed   # it starts once more
    assert len(asked.answer["tools"]) == 1


def test_a_list_of_all_waits_for_a_server_that_comes_back_but_not_if_it_ends_again_and_again():
    world = BothEras(a=legacy(), b=legacy())
    world.offers["b"] = legacy(slow=True)
    world["b"].dies()
    asked = modern_client(world).asks("tools/list")
    assert len(world.made) == 3 and asked.gets() == []
    world["b"].answer_initialize()
    assert len(asked.answer["tools"]) == 2
    world["b"].dies()
    asked = modern_client(world).asks("tools/list")
    assert len(world.made) == 4 and not world["b"].closed
    assert len(asked.answer["tools"]) == 1
