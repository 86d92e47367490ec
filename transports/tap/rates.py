"""How many calls were answered in each second of the last minute, and how long they took.

All of them are counted, also those of which the messages are too many to be kept."""

import time

from transports.fabric.messages import dig, is_id

SECONDS = 60
MOST_ASKED = 10_000     # calls under way that are followed; the oldest are forgotten
MOST_TIMES = 200        # of one second: of more calls, the first ones stand for the others


class Rates:
    """No lock: the Tap holds its own around every use. `now` is a time.monotonic()."""

    def __init__(self):
        self._asked = {}        # (session's name, id) → when, the oldest first
        self._seconds = {}      # second → [answered, the longest, some times], the oldest first

    def note_request(self, session, id, now):
        if is_id(id):
            self._asked[session, id] = now
            if len(self._asked) > MOST_ASKED:
                del self._asked[next(iter(self._asked))]

    def note_answer(self, session, id, now):
        begun = self._asked.pop((session, id), None) if is_id(id) else None
        if begun is None:
            return
        took = now - begun
        second = self._seconds.setdefault(int(now), [0, 0.0, []])
        second[0], second[1] = second[0] + 1, max(second[1], took)
        if len(second[2]) < MOST_TIMES:
            second[2].append(took)
        if len(self._seconds) > SECONDS + 1:
            del self._seconds[next(iter(self._seconds))]

    def until(self, now):
        """[(second, answered, the longest, some times)] of the last minute."""
        first = int(now) - SECONDS + 1
        return [(second, answered, longest, list(times))
                for second, (answered, longest, times) in self._seconds.items() if second >= first]

    def clear(self):
        self._asked.clear()
        self._seconds.clear()


def minute(seconds):
    """What the page tells of them, with times in seconds: {"now", "answered", "middle", "longest",
    "seconds": [[second, answered, middle], …]}. It stays the same while there are none."""
    return {"now": int(time.monotonic()) if seconds else 0,
            "answered": sum(answered for _, answered, _, _ in seconds),
            "middle": _middle([(took, answered / len(times)) for _, answered, _, times in seconds
                               for took in times]),
            "longest": max((longest for _, _, longest, _ in seconds), default=0.0),
            "seconds": [[second, answered, _middle([(took, 1) for took in times])]
                        for second, answered, _, times in seconds]}


def _middle(weighed):
    """The median of values with weights."""
    rest = sum(weight for _, weight in weighed) / 2
    for value, weight in sorted(weighed):
        rest -= weight
        if rest <= 0:
            return value
    return 0.0


def has_failed(message):
    """Whether an answer is an error, of JSON-RPC or of the tool itself."""
    return "error" in message or dig(message, "result", "isError") is True
