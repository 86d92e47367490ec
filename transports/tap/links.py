"""Which messages belong together: a request of a client, what it became, and all that follows.

They get the same number, which is found by the ids and tokens that pass: an answer has the id of
its request, and comes the other way. The request that we send to a server has a new id, so whoever
sends it tells the tap which client's request was the cause. A modern client that is asked
something comes back with another request, which is known by its `requestState`."""

import collections
import itertools
import threading
import typing

from transports.fabric.messages import dig, is_id

FROM_CLIENT, TO_CLIENT = "from client", "to client"
FROM_SERVER, TO_SERVER = "from server", "to server"
BACK = {FROM_CLIENT: TO_CLIENT, TO_CLIENT: FROM_CLIENT,
        FROM_SERVER: TO_SERVER, TO_SERVER: FROM_SERVER}

MOST_LINKS = 20_000     # the oldest are forgotten
LONGEST_ID = 200        # characters; of a longer one only its hash is kept


class Link(typing.NamedTuple):
    """What is known of a request."""

    number: int = None
    method: str = None
    session: str = None
    name: str = None        # of the tool, prompt or resource


NO_LINK = Link()


def key(place, peer, id, *more):
    """The key of a request that passes at this place, by its id, or its token with "token" behind
    it; None if it is neither."""
    id = hash(id) if isinstance(id, str) and len(id) > LONGEST_ID else id
    return (place, peer, id, *more) if is_id(id) else None


def call_key(call):
    """The key of a client's request, by its Call; None if there is none. On a pipe, the stream
    that brings the answer has the name of the session that lasts."""
    return call and key(FROM_CLIENT, call.asker.lasting.name, call.id)


def question_key(question):
    """The key of a server's question; that of the client's call which it belongs to, if any."""
    return call_key(question.within) or key(FROM_SERVER, question.asker.label, question.id)


def _state_key(said):
    """The key of what a client is asked to come back with, or comes back with."""
    return key("state", None, dig(said, "requestState"))


class Links:
    """{key: Link}. No lock: the Tap holds its own around every use."""

    def __init__(self):
        self._links = collections.OrderedDict()     # the oldest first
        self._numbers = itertools.count(1)

    def find(self, place, peer, message, cause, about):
        """The Link of a message that passes. `cause`: the key of a request, see above, or None;
        `about`: a Link with what the message itself says."""
        if "method" not in message:
            link = self._links.pop(key(BACK[place], peer, message.get("id")), NO_LINK)
            if place == TO_CLIENT:
                self._remember(_state_key(dig(message, "result")), Link(link.number))
            return link
        if "id" not in message:
            return self._links.get(self._key_in_notification(place, peer, message, cause), NO_LINK)
        state = _state_key(dig(message, "params")) if place == FROM_CLIENT else None
        link = about._replace(number=self._of(cause or state).number)
        token = dig(message, "params", "_meta", "progressToken")
        self._remember(key(place, peer, message["id"]), link)
        self._remember(key(place, peer, token, "token"), link)
        return link

    def knows(self, place, peer, message, cause):
        """Whether it is a request or an answer that belongs to a request which was seen."""
        return (cause is not None and cause in self._links if "method" in message
                else key(BACK[place], peer, message.get("id")) in self._links)

    def caused(self, request, cause):
        """The request with this key, which will pass soon, belongs to that cause."""
        self._remember(request, Link(self._of(cause).number))

    def clear(self):
        self._links.clear()

    def _key_in_notification(self, place, peer, message, cause):
        """The key of the request whose id or token it names."""
        kind = message["method"]
        if kind == "notifications/progress":
            return key(BACK[place], peer, dig(message, "params", "progressToken"), "token")
        if kind == "notifications/cancelled":
            return key(place, peer, dig(message, "params", "requestId"))
        # A log line goes to the client in the thread that brings it here.
        line = key("log line", None, threading.get_ident())
        if kind == "notifications/message" and place == FROM_SERVER:
            self._remember(line, self._of(cause) if cause else NO_LINK)
        return line if kind == "notifications/message" else None

    def _of(self, cause):
        """The Link of the cause. A new one if that was not seen, or if there is none."""
        if cause not in self._links:
            self._remember(cause, link := Link(next(self._numbers)))
            return link
        return self._links[cause]

    def _remember(self, key, link):
        if key is not None:
            self._links.pop(key, None)
            self._links[key] = link
            if len(self._links) > MOST_LINKS:
                self._links.popitem(last=False)     # in a dict it would be searched for
