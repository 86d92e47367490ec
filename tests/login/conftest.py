"""A folder for the tokens, servers that want a login, and a clock."""

import pytest
from authorization_server import Far

from transports.program.clock import Clock
from upstreams.config.entries import Entry
from upstreams.login.bearer import Bearer


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """The folder of the logins; not made yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "mcp-local-router" / "logins"


@pytest.fixture
def new_far():
    """new_far(protocol) starts a server; see Far."""
    made = []

    def start(protocol="legacy"):
        made.append(Far(protocol))
        return made[-1]
    yield start
    for far in made:
        far.close()


@pytest.fixture
def far(new_far):
    return new_far()


@pytest.fixture
def clock():
    clock = Clock()
    clock.start()
    yield clock
    clock.close()


@pytest.fixture
def entry(far):
    """entry(**oauth): that of the server."""
    return lambda **oauth: Entry("far", url=far.url, oauth=tuple(sorted(oauth.items())))


@pytest.fixture
def bearer(entry, clock):
    """bearer(**oauth): the header of one life of the server, as another router would have it."""
    return lambda **oauth: Bearer(entry(**oauth), clock)
