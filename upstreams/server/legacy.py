"""What is particular to a legacy server: a revision that begins with `initialize`.

It says by itself what it has to say, and does not say on whose behalf. The counterpart is the room
upstreams/eras."""

from transports.fabric.capabilities import without_tasks
from transports.fabric.messages import (INVALID_PARAMS, LATEST, META_KEYS, METHOD_NOT_FOUND,
                                        REVISIONS, Refused, dig, notification, with_params,
                                        without_keys)

AUTO, LEGACY = "auto", "legacy"     # AUTO: the era is to be found out. The third is "modern"
DRAFT = "2024-10-07"    # of the oldest revision; some servers still say so
LATE_SECONDS = 1.0      # after an answer, for log lines that may still concern its call


class Legacy:
    """How we speak with a legacy server, in one of its lives.

    It is also the opening of a life, its first messages, unless eras/era.py takes its place there:
    `start` ends with `life.opened`, `life.give_up` or `life.begin_again`."""

    name = LEGACY

    def __init__(self, life):
        self._life = life
        self.info = {}              # its answer to initialize

    # -- the opening

    def start(self):
        self.initialize(self._initialized)

    def end(self, silent=False):
        """Nothing that it says later counts. Returns the protocol to begin again with, or None."""

    def initialize(self, on_answer):
        """Lifecycle, Initialization: we offer the newest revision that we know."""
        self._life.ask("initialize", {"protocolVersion": LATEST, **self._life.upstream.client},
                       on_answer)

    def _initialized(self, response):
        if problem := refusal(response):
            self._life.give_up(problem)
        else:
            self.accept(response["result"])

    def accept(self, info):
        """The server has said yes. It is told before the life is open: from then on any thread may
        send. Capabilities and tasks that are no objects are none."""
        self._life.send(notification("notifications/initialized"))
        can, version = info.get("capabilities"), info["protocolVersion"]
        can = can if isinstance(can, dict) else {}
        if not isinstance(can.get("tasks"), dict):
            can = without_keys(can, "tasks")
        self.info = {**info, "capabilities": without_tasks(can),
                     "protocolVersion": REVISIONS[0] if version == DRAFT else version}
        self._life.opened(self)

    # -- what an era has

    def ask(self, message, reply_to, call=None):
        """Requests go as they are. But a modern client may take us for a server that asks by its
        answers; it means other tasks; and what its keys say is for modern servers alone."""
        if call and call.asker.meta:
            if message["method"].startswith("tasks/"):
                raise Refused(METHOD_NOT_FOUND, f"Method not found: {message['method']}")
            if "requestState" in message["params"]:
                raise Refused(INVALID_PARAMS, "this server has given out no requestState: call "
                                              "again without")
        meta = call and (message.get("params") or {}).get("_meta")
        if isinstance(meta, dict) and not meta.keys().isdisjoint(META_KEYS):
            message = with_params(message, _meta=without_keys(meta, *META_KEYS))
        self._life.pass_on(message, reply_to, call)

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
    return str(dig(response, "error", "message") or "it sent no result")
