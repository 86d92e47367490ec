"""Random histories in which the config changes as well, see tests/histories.py."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from upstreams.config.entries import Config, Entry
from upstreams.reload.reload import reload

from histories import SERVERS, History


class ReloadHistory(History):
    @rule(names=st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True),
          changed=st.sampled_from(["", "", "a", "b", "c", "abc"]),
          described=st.sampled_from(["", "a", "b", "abc"]), wrong=st.sampled_from(["", "a", "bc"]))
    def the_config_changes(self, names, changed, described, wrong):
        """A few servers, in any order, of which some are not what they were. Another description
        ends none, nor does an entry that has become wrong."""
        wrong = {name for name in wrong if name in names and name in self.entries}
        changed = {*changed} - wrong
        for client in self.clients:
            self.read(client)
        over = [server for server in self.alive() if server.label[0] not in names
                or server.label[0] in changed]
        args = {name: (str(self.number()),) if name in changed or name not in self.entries
                else self.entries[name].args for name in names}
        self.entries = {name: Entry(
            name, "-", args[name], prefix=f"{name}__", healthy=0, shared=SERVERS[name],
            describe=(("t", str(self.number())),) if name in described else ()) for name in names}
        same = [server for server in self.alive() if server not in over]
        calls = [(server, self.calls_at(server)) for server in same]
        for server in over:
            self.saw.setdefault(server, self.seen_by(self.upstream_of(server)))
        reload(self.world.router, Config({**self.entries, **{
            name: Entry(name, problem="wrong") for name in wrong}}, {"group": sorted(names)}))
        assert all(server.closing for server in over)
        for server in over:
            self.read_answers(server)
        for question in self.open_questions():
            if question.server in over:
                self.is_over(question)
        for client in [client for client in self.clients if client.surface not in
                       {None, *self.entries}]:
            self.read(client)
            assert client.in_flight == {} and client.to_answer == []
            self.clients.remove(client)
        for client in self.clients:
            self.read(client)
        for server, before in calls:  # all else does not notice, but for calls that wait for room
            assert self.calls_at(server)[:len(before)] == before
        assert [serial for server in over for serial in self.calls_at(server)] == []


TestReloadHistory = ReloadHistory.TestCase
TestReloadHistory.settings = settings(stateful_step_count=60)
