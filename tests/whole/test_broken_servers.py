"""Whatever a broken server does, its calls end, and nobody else notices.

A few of the examples of broken.py; `tox -e broken -- 60` plays them for an hour.
"""

import pytest

from broken import TOLD, World, over_http, over_stdio, try_them


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    assert world.stop() == 0


@pytest.mark.parametrize("kind", [over_stdio, over_http], ids=["processes", "over HTTP"])
def test_a_broken_server_fails_its_own_calls_in_time_and_leaves_nothing(world, kind):
    assert len(try_them(world, 3, kind=kind)) == 3
    world.settle()


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_call_is_told_what_was_seen_in_place_of_its_answer(world, era):
    world.plays([(kind, era, {**script, "told": told}, {}) for kind, script, told in TOLD])
    world.settle()
