"""What a person does to one server while the router runs: it is started again, or stopped. Only
the run changes, never a file. So the next change of the config undoes it."""

from dataclasses import replace

from transports.fabric.text import log

from .reload import reload_servers

STOPPED = "it was stopped on the page, until it is started there or the config changes"
AGAIN = "it is started again, as somebody has asked on the page"


class ByHand:
    """For the servers of this router. Any thread may call anything here; do(function, name) lets
    the thread `reload` call function(name)."""

    def __init__(self, router, do):
        self._pool, self._do = router.pool, do

    def is_stopped(self, name):
        return getattr(self._pool.entries.get(name), "problem", None) == STOPPED

    def act(self, action, name):
        """"restart" or "stop" this server, soon. Raises ValueError if that cannot be done."""
        act = {"restart": self._restart, "stop": self._stop}.get(action)
        entry = self._pool.entries.get(name)
        if act is None or entry is None:
            raise ValueError(f'there is no server "{name}" any more' if act
                             else f"nobody can {action} a server here")
        if entry.problem not in (None, STOPPED):
            raise ValueError(f"its entry must be mended first: {entry.redact(entry.problem)}")
        self._do(act, name)

    def _restart(self, name):
        log.info('server "%s" is started again, as somebody has asked on the page', name)
        self._use(name, None, AGAIN)

    def _stop(self, name):
        if not self.is_stopped(name):
            log.info('server "%s" is stopped, as somebody has asked on the page', name)
            self._use(name, STOPPED, STOPPED)

    def _use(self, name, problem, why):
        """What was asked may have waited while the config changed."""
        entries = self._pool.entries
        if name in entries and entries[name].problem in (None, STOPPED):
            entry = replace(entries[name], problem=problem)
            reload_servers(self._pool, {**entries, name: entry}, {name}, why)
