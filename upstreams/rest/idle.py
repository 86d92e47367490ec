"""When a server need not run: before its first use, and when nobody has needed it for some time.

The thread `rest` looks at all processes now and then. One that nobody needed from one look to the
next, for as long as its server may be idle, is *tired*: the plan (sharing/plan.py) lets it rest
then, unless somebody needs it after all. Nothing is counted on the way of a call. A call takes the
short way only if there was one since the last look; the first after a look leaves its mark
(`Use.recent`)."""

import os
import threading
import time
from pathlib import Path

from transports.fabric.text import hidden, log
from upstreams.server.catalog import PROMPTS, TOOLS
from upstreams.server.legacy import LEGACY
from upstreams.server.life import RESTING, RUNNING
from upstreams.sharing.tables import PLAIN, refresh

FIRST_USE = "first-use"
IDLE = 30 * 60.0        # seconds, of a modern server of which the config does not say it
LEARNED = 5.0           # the same of a process that was started to learn what it lists
LOOKS = 5               # while a process is idle, until it is tired
SHORTEST, LONGEST = 0.02, 5.0   # seconds between two looks
LEARNS = 0.1            # likewise, while a server is not known: its client may leave soon


class Rest:
    """The thread `rest` lives while the context does."""

    def __init__(self, pool, memory, now=time.monotonic):
        self._pool, self._memory, self._now = pool, memory, now
        self._last = {}         # {Use that runs: (its life, when it was needed last)}
        self._written = {}      # {Upstream: (what was written or read of it, in which life)}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rest", daemon=True)
        pool.recall = self.recall

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_problem):
        self._end.set()
        self._thread.join()
        self.write_down()

    def _run(self):
        pause = SHORTEST
        while not self._end.wait(pause):
            try:
                pause = self.look()
            except Exception:   # a bug of ours in one look must not stop those that follow
                log.exception("a look for processes that nobody needs failed")

    # -- what nobody needs

    def look(self):
        """One look. Returns the seconds until the next one."""
        pool, now = self._pool, self._now()
        with pool.lock:
            uses = pool.tables.uses()
            refresh(uses)
            last, self._last = self._last, {}
            over = [use for use in uses if self._is_over(use, now, *last.get(use, (None, 0)))]
            idle = [idle_seconds(server, False) for server in pool.tables.servers.values()]
        self.write_down()
        if over:
            sizes = megabytes_of([use.upstream.life.connection.pid for use in over])
            for use, size in zip(over, sizes):
                if size:
                    use.upstream.cost = {**use.upstream.cost, "megabytes": size}
            with pool.lock:
                for use in over:
                    use.tired = True
            pool.changed()
        pauses = [each / LOOKS for each in idle if each] + [LEARNS] * any(
            self._is_remembered(use) and use.upstream not in self._written for use in uses)
        return max(SHORTEST, min([LONGEST, *pauses]))

    def _is_over(self, use, now, life, needed):
        """Whether nobody has needed it for so long. Requires the pool's lock."""
        use.tired = False   # it may have been needed after all
        if use.state != RUNNING:
            return False
        seconds, is_needed = idle_seconds(use.server, use.called), use.is_needed()
        if is_needed or use.upstream.life is not life:
            needed = now
        over = not is_needed and seconds is not None and now - needed >= seconds
        if over and is_at_work(use):    # which takes longer to find out
            needed, over = now, False
        self._last[use] = use.upstream.life, needed
        use.recent = use.recent and seconds is None
        return over

    # -- what it said

    def recall(self, use):
        """Whether it need not start, as what it lists is remembered and more is not wanted. Called
        by the pool before each start."""
        upstream, server = use.upstream, use.server
        listing = use.is_lister() or not self._pool.share
        if upstream.info or not listing or not self._is_remembered(use):
            return False
        found = self._memory.read(server.entry)
        said = found and found["said"].get(use.key.hex())
        if found and not said and not found["listsByCapabilities"]:
            said = found["said"].get(PLAIN.hex())   # mostly it makes no difference to whom
        if not said:
            return False
        with self._pool.lock:
            # It may be of another era by now: its next life asks.
            server.era, server.asks_again, server.has_run = found["era"], True, True
            server.lists_by_capabilities |= found["listsByCapabilities"]
        upstream.info, upstream.cost = said["info"], found["cost"]
        for method, items in said["lists"].items():
            upstream.catalog.learn(method, items)
        upstream.audience.lists_changed()   # some may have asked for them, and had an empty one
        self._written[upstream] = _known(use), None
        return True

    def write_down(self):
        """Remember what servers say now, where that is not what is written."""
        with self._pool.lock:
            uses = self._pool.tables.uses()
        for use in [use for use in uses if use.server.entry.start == FIRST_USE]:
            life, is_remembered = use.upstream.life, self._is_remembered(use)
            if life.settled and not use.upstream.unlisted and not is_remembered:
                self._correct(use)
            if is_remembered and use.upstream.info and (life.settled or life.state == RESTING):
                self._write(use, life)
        self._written = {use.upstream: self._written[use.upstream] for use in uses
                         if use.upstream in self._written}

    def _is_remembered(self, use):
        """Whether what this process says is remembered: of those that list for all, for the only
        client there is, or by what clients can be asked."""
        return use.server.entry.start == FIRST_USE and (
            not self._pool.share or use.is_lister()
            or use.server.lists_by_capabilities and use.can_ask)

    def _write(self, use, life):
        known, (written, when) = _known(use), self._written.get(use.upstream, (None, None))
        if known == written and (life.state == RESTING or life is when):
            return
        self._written[use.upstream] = known, life
        info, lists, era, by_capabilities, cost = known
        before = self._memory.read(use.server.entry) or {"said": {}}
        said = {key: each for key, each in before["said"].items()
                if key != use.key.hex() and each["info"].get("serverInfo")
                == info.get("serverInfo")}      # what another version of it said counts no more
        said[use.key.hex()] = {"info": info, "lists": {
            method: items for method, items in lists.items() if items is not None}}
        self._memory.write(use.server.entry, {
            "era": era or LEGACY, "cost": cost, "said": said, "listsByCapabilities":
            by_capabilities or len({_names(each["lists"]) for each in said.values()}) > 1},
            self._tokens() if use.server.entry.url else ())

    def _tokens(self):
        """What is hidden and stands in no config: what we send to remote servers because somebody
        has logged in, or a command printed it."""
        of_configs = {secret for entry in self._pool.entries.values() for secret in entry.secrets}
        return [text for text in hidden.texts if text not in of_configs]

    def _correct(self, use):
        """What lists for all has rested ever since the router started, and knows by its memory
        what its server lists. A client's own process knows better."""
        server, lister = use.server, use.server.listers.get(PLAIN)
        if not lister or server.plain_names is not None or server.lists_by_capabilities:
            return
        before, now = lister.upstream, use.upstream
        offered = before.offered
        if before.state == RESTING and before.info and (
                offered, before.catalog.lists) != (now.offered, now.catalog.lists):
            before.remember(now)
            before.audience.lists_changed({*offered, *now.offered})


def idle_seconds(server, called):
    """How long nobody may need a process of this server until it rests; None: as long as it likes.
    One that was never called has only been started to learn what it lists."""
    entry = server.entry
    seconds = 60.0 * entry.idle if entry.idle is not None else (
        IDLE if server.era not in (None, LEGACY) and not entry.url else None)
    if entry.start == FIRST_USE and not called:
        return min(LEARNED, seconds or LEARNED)
    return seconds or None


def is_at_work(use):
    """Whether it has a call that waits for its client, a question, or a task. Requires the pool's
    lock."""
    life = use.upstream.life
    return len(life.calls) > 0 or use.has_task() or any(
        call.is_at(life) for session in use.server.sessions for call in session.calls.all())


def megabytes_of(pids):
    """What the processes of each of these groups have in memory, together; None if unknown."""
    sizes = dict.fromkeys(pids, 0)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()    # from its state on: proc(5)
        except OSError:
            continue    # it has just ended
        if int(fields[2]) in sizes:
            sizes[int(fields[2])] += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return [round(sizes[pid] / 2**20) or None for pid in pids]


def _names(lists):
    """To be compared: what a server lists for some clients."""
    return frozenset((method, item["name"]) for method in (TOOLS, PROMPTS)
                     for item in lists.get(method, ()))


def _known(use):
    upstream, server = use.upstream, use.server
    return (upstream.info, upstream.catalog.lists, server.era, server.lists_by_capabilities,
            dict(upstream.cost))
