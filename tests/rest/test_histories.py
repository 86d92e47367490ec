"""Random histories in which servers start at their first use and rest when nobody needs them, see
tests/histories.py."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from upstreams.rest import Memory, Rest
from upstreams.rest.idle import LEARNED

from histories import History


class RestHistory(History):
    more = {"start": "first-use", "idle": 0.5}

    def new_world(self, limit, entries):
        """Half of the time, a router before this one has learned what the servers list."""
        self.folder = Path(tempfile.mkdtemp())
        if limit % 2:
            world = super().new_world(limit, entries, room=self.put_in)
            assert len(world.made) == len(entries)
            self.rest.look()
        world = super().new_world(limit, entries, room=self.put_in)
        assert len(world.made) == (0 if limit % 2 else len(entries))
        return world

    def put_in(self, pool):
        self.rest = Rest(pool, Memory(self.folder / "memory"), lambda: pool.clock.now)

    @rule(times=st.integers(1, 4), seconds=st.sampled_from([0, 1, LEARNED, 31]))
    def somebody_looks(self, times, seconds):
        for _ in range(times):
            self.clock.advance(seconds)
            self.nothing_that_works_ends(self.rest.look)

    def teardown(self):
        try:
            super().teardown()
            for _ in range(3):
                self.clock.advance(31)
                self.rest.look()
            assert not any(server.started and not server.closed for server in self.world.made)
        finally:
            shutil.rmtree(self.folder)


TestRestHistory = RestHistory.TestCase
TestRestHistory.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
