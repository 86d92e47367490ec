"""Which messages belong together: a request of a client, what it became, and all that follows.

They get the same number. It is found by the ids and tokens that pass: an answer has the id of its
request, and comes the other way. What became of a request has another id, so the tap is told
which request was the cause.
"""

import itertools
import threading

from transports.fabric.messages import is_id

FROM_CLIENT, TO_CLIENT = "from client", "to client"
FROM_SERVER, TO_SERVER = "from server", "to server"
BACK = {FROM_CLIENT: TO_CLIENT, TO_CLIENT: FROM_CLIENT,
        FROM_SERVER: TO_SERVER, TO_SERVER: FROM_SERVER}

MOST_LINKS = 20_000     # the oldest are forgotten


class Link:
    """What is known of a request."""

    __slots__ = ("number", "method", "session")

    def __init__(self, number=None, method=None, session=None):
        self.number, self.method, self.session = number, method, session


NO_LINK = Link()


def call_key(call):
    """The key of a client's request, by its Call; None if there is none."""
    return call and (FROM_CLIENT, call.asker.name, call.id)


def question_key(question):
    """The key of a server's question; that of the client's call which it belongs to, if any."""
    return call_key(question.within) or (FROM_SERVER, question.asker.label, question.id)


class Links:
    """{(place, name of the peer, id): Link}. No lock: the Tap holds its own around every use."""

    def __init__(self):
        self._links = {}                    # the oldest first
        self._numbers = itertools.count(1)

    def find(self, place, peer, message, cause, session):
        """The Link of a message that passes. `cause`: the key of a request, see below, or None."""
        if "method" not in message:
            return self._links.pop((BACK[place], peer, message.get("id")), NO_LINK)
        if "id" in message:
            return self._request(place, peer, message, cause, session)
        return self._notification(place, peer, message, cause)

    def follow(self, key, cause):
        """The request with this key, which will pass soon, belongs to that cause."""
        self._remember(key, Link(self._of(cause).number))

    def clear(self):
        self._links.clear()

    def _request(self, place, peer, message, cause, session):
        link = Link(self._of(cause).number, message["method"], session)
        self._remember((place, peer, message["id"]), link)
        token = _within(message, "params", "_meta", "progressToken")
        if token is not None:
            self._remember((place, peer, "token", token), link)
        return link

    def _notification(self, place, peer, message, cause):
        """The Link of the request whose id or token it names."""
        if message["method"] == "notifications/progress":
            key = BACK[place], peer, "token", _within(message, "params", "progressToken")
        elif message["method"] == "notifications/cancelled":
            key = place, peer, _within(message, "params", "requestId")
        elif message["method"] == "notifications/message":
            # It goes to the client in the thread that brings it here.
            key = "log line", threading.get_ident()
            if place == FROM_SERVER:
                self._remember(key, self._of(cause) if cause else NO_LINK)
        else:
            return NO_LINK
        return self._links.get(key, NO_LINK)

    def _of(self, cause):
        """The Link of the cause. A new one if that was not seen, or if there is none."""
        link = self._links.get(cause)
        if link is None:
            link = Link(next(self._numbers))
            if cause:
                self._remember(cause, link)
        return link

    def _remember(self, key, link):
        self._links.pop(key, None)
        self._links[key] = link
        if len(self._links) > MOST_LINKS:
            del self._links[next(iter(self._links))]


def _within(value, *keys):
    """The id or token at the end of these keys; None if there is none.

    >>> _within({"params": {"_meta": {"progressToken": "p"}}}, "params", "_meta", "progressToken")
    'p'
    """
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if is_id(value) else None
