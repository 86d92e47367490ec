"""What is particular to a legacy server: a revision that begins with `initialize`.

It says by itself what it has to say, and does not say on whose behalf. The counterpart for servers
of 2026-07-28 is the room upstreams/eras. Each life of a server has one Opening and one era.
"""

from transports.fabric.gather import OnAnswer
from transports.fabric.messages import LATEST, REVISIONS, Refused, notification, request

AUTO, LEGACY = "auto", "legacy"     # AUTO: the era is to be found out. The third is "modern"
DRAFT = "2024-10-07"    # of the oldest revision; some servers still say so
LATE_SECONDS = 1.0      # after an answer, for log lines that may still concern its call


class Legacy:
    """How we speak with a legacy server, in one of its lives."""

    name = LEGACY
    keeps_nothing = False   # of its clients, so that one process may serve all

    def __init__(self, life, info):
        self._life = life
        self.info = info            # its answer to initialize
        self.ask = life.pass_on     # requests go as they are

    def listen(self, put):
        """Call put(True) when we hear what changes: it tells without being asked."""
        put(True)

    def heard(self, message):
        """What is to be passed on of a message of its own accord; None for nothing."""
        return message

    def loggers(self):
        """The sessions that a log line may concern. It may be late, and concern a call that was
        answered shortly before. None stands for a session that has ended."""
        return (self._life.pending.askers(LATE_SECONDS)
                or set(self._life.upstream.audience.sessions()))


class Opening:
    """The first messages of one life. They end with `life.opened` or `life.give_up`."""

    def __init__(self, life, _protocol):
        self._life, self._over = life, False

    def start(self):
        initialize(self._life, self._initialized)

    def end(self, silent=False):
        """The process has ended, or it has been `silent` for too long: nothing that it says later
        counts. Returns the protocol to begin again with, or None."""
        self._over = True

    def _initialized(self, response):
        if self._over:
            return
        if problem := refusal(response):
            self._life.give_up(problem)
        else:
            self._over = True
            self._life.opened(initialized(self._life, response))


def ask(life, method, params, on_answer):
    """One of the first messages."""
    try:
        life.pass_on(request(method, params), OnAnswer(on_answer))
    except Refused:
        pass  # the life is over already


def initialize(life, on_answer):
    """Lifecycle, Initialization: we offer the newest revision that we know."""
    ask(life, "initialize", {"protocolVersion": LATEST, **life.upstream.client}, on_answer)


def initialized(life, response):
    """The server has said yes. Before its state changes: from then on any thread may send."""
    life.send(notification("notifications/initialized"))
    info = response["result"]
    return Legacy(life, {**info, "protocolVersion": REVISIONS[0]}
                  if info["protocolVersion"] == DRAFT else info)


def refusal(response):
    """Why this answer to `initialize` begins no session, in words; None if it does."""
    answer = response.get("result")
    if not isinstance(answer, dict):
        return "refused to initialize: " + reason_of(response)
    if answer.get("protocolVersion") not in (*REVISIONS, DRAFT):
        return (f"speaks revision {answer.get('protocolVersion')!r} of MCP; this router "
                f"knows {', '.join(REVISIONS)}")
    return None


def reason_of(response):
    problem = response.get("error")
    return str(problem.get("message") if isinstance(problem, dict) else "it sent no result")
