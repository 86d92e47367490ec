"""Whatever a broken server does, its calls end, and nobody else notices.

A few of the examples of broken.py; `tox -e broken -- 60` plays them for an hour.
"""

import pytest

from broken import World, over_http, over_stdio, try_them


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    assert world.stop() == 0


@pytest.mark.parametrize("kind", [over_stdio, over_http], ids=["processes", "over HTTP"])
def test_a_broken_server_fails_its_own_calls_in_time_and_leaves_nothing(world, kind):
    assert sum(try_them(world, 5, kind=kind)) >= 5
    world.settle()
