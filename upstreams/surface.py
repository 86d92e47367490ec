"""What a session sees: all servers together, or one as it is.

A surface decides, for each request of a client, which upstream gets it and under which name. Its
methods run in whatever thread brought the client's message, and only ever put things on queues.
"""

import functools
import logging

from transports.messages import (INVALID_PARAMS, METHOD_NOT_FOUND, SERVER_UNAVAILABLE, Refused,
                                 params_of, result, text_param, with_params)

from .catalog import LISTS, PROMPTS, TOOLS
from .gather import LIST_SECONDS, FirstThatKnows, Gather, Pages
from .upstream import RUNNING, STARTING

log = logging.getLogger("router")

RESOURCE_NOT_FOUND = -32002     # 2025-11-25, Resources, Error Handling
FEW_SECONDS = 5.0               # what a client's initialize waits for the slowest server
LONGEST_INSTRUCTIONS = 4000     # characters of one server's, where many are told together


class Single:
    """One server as it is: names, cursors, unknown methods, everything passes through."""

    def __init__(self, name):
        self.name = name

    def names(self, known):
        """The names of the servers that it shows, of those that are known."""
        return [self.name]

    def patience(self, session):
        """Seconds that initialize waits for servers that are still starting."""
        return session.upstreams[self.name].entry.start_timeout + LIST_SECONDS

    def initialize(self, session):
        """Our answer to initialize: the server's own."""
        upstream = session.upstreams[self.name]
        if upstream.state != RUNNING:
            raise Refused(SERVER_UNAVAILABLE, f'server "{self.name}" is not running: '
                                              f'{upstream.problem or upstream.state}')
        return {**upstream.info, "protocolVersion": session.version}

    def request(self, session, message, call):
        session.upstreams[self.name].request(message, reply_to=call, call=call)

    def notification(self, session, message):
        session.upstreams[self.name].send(message)


class Aggregate:
    """All servers together: prefixed names, merged lists."""

    def __init__(self, clock, server_info):
        self._clock = clock
        self._server_info = server_info
        self._reported = set()  # clashes that are in the log already
        self._requests = {
            **dict.fromkeys(LISTS, self._list),
            "tools/call": functools.partial(self._by_name, TOOLS),
            "prompts/get": functools.partial(self._by_name, PROMPTS),
            "resources/read": self._by_uri,
        }

    def names(self, known):
        return list(known)

    def patience(self, _session):
        return FEW_SECONDS

    def initialize(self, session):
        upstreams = session.upstreams.values()
        capabilities = {}
        for upstream in upstreams:
            capabilities = union(capabilities, upstream.capabilities)
            if upstream.state == STARTING:
                # It will have something, and we shall say so with list_changed; a client that
                # was told of no tools would not listen.
                capabilities = union(capabilities, {kind: {"listChanged": True} for kind in
                                                    ("tools", "prompts", "resources")})
        answer = {"protocolVersion": session.version, "capabilities": capabilities,
                  "serverInfo": self._server_info}
        told = [f"[{upstream.name}]\n{text[:LONGEST_INSTRUCTIONS]}" for upstream in upstreams
                if isinstance(text := upstream.info.get("instructions"), str) and text]
        if told:
            answer["instructions"] = "\n\n".join(told)
        return answer

    def request(self, session, message, call):
        route = self._requests.get(message["method"])
        if route is None:
            raise Refused(METHOD_NOT_FOUND, f"Method not found: {message['method']}")
        route(session, message, call)

    def notification(self, session, message):
        log.debug("%s: %s was dropped: it names no server", session.name, message["method"])

    # -- lists

    def _list(self, session, message, call):
        """Ask every server that has such a list, at the same time; answer with one page."""
        method = message["method"]
        capability, key, _ = LISTS[method]
        if params_of(message).get("cursor"):
            raise Refused(INVALID_PARAMS, f"{method}: no such cursor: all is on the first page")
        upstreams = [upstream for upstream in session.upstreams.values()
                     if capability in upstream.capabilities]

        def finish(lists):
            self._clock.forget(deadline)
            call.send(result(call.id, {key: self._merge(method, upstreams, lists)}))

        def expire():
            missing = gather.expire()
            if missing:
                log.warning("%s: left out after %g seconds without an answer: %s", method,
                            LIST_SECONDS, ", ".join(sorted(missing)))
                call.abandon("it took too long")

        gather = Gather([upstream.name for upstream in upstreams], finish)
        deadline = self._clock.after(LIST_SECONDS, expire)
        if not upstreams:
            finish({})
        for upstream in upstreams:
            Pages(upstream, method, functools.partial(gather.put, upstream.name), call).ask()

    def _merge(self, method, upstreams, lists):
        """In the config's order. Of two equal names or URIs the first stays, as when called."""
        key = LISTS[method][2]
        merged = {}
        for upstream in upstreams:
            for item in lists.get(upstream.name) or ():
                if merged.setdefault(item[key], item) is not item:
                    clash = (method, upstream.name, item[key])
                    if clash not in self._reported and len(self._reported) < 1000:
                        self._reported.add(clash)
                        log.warning('%s: %r of server "%s" is left out: a server before it in '
                                    'the config has the same', *clash)
        return list(merged.values())

    # -- one thing of one server

    def _by_name(self, listing, session, message, call):
        name = text_param(message, "name")
        upstream, inner = self._find(session, listing, name)
        upstream.request(with_params(message, name=inner), reply_to=call, call=call)

    def _find(self, session, listing, name):
        """The upstream that a client's name belongs to, and its own name for it."""
        upstreams = session.upstreams.values()
        for upstream in upstreams:
            inner = upstream.catalog.inner_name(listing, name)
            if inner is not None:
                return upstream, inner
        bare = [upstream for upstream in upstreams if upstream.catalog.has_bare(listing, name)]
        if len(bare) == 1:
            return bare[0], name
        kind = "tool" if listing == TOOLS else "prompt"
        among = f" (several servers have it: {', '.join(u.name for u in bare)})" if bare else ""
        raise Refused(INVALID_PARAMS, f"Unknown {kind}: {name}{among}")

    def _by_uri(self, session, message, call):
        uri = text_param(message, "uri")
        upstreams = [upstream for upstream in session.upstreams.values()
                     if "resources" in upstream.capabilities]
        for upstream in upstreams:
            if upstream.catalog.has_uri(uri):
                return upstream.request(message, reply_to=call, call=call)
        if not upstreams:
            raise Refused(RESOURCE_NOT_FOUND, f"Resource not found: {uri}", {"uri": uri})
        # sorted() is stable: those with a fitting template first, else the config's order.
        upstreams.sort(key=lambda upstream: not upstream.catalog.matches_template(uri))
        return FirstThatKnows(upstreams, message, call).ask()


def union(one, other):
    """Two capability objects as one; where both have a plain value, true wins.

    >>> union({"tools": {}}, {"tools": {"listChanged": True}, "logging": {}})
    {'tools': {'listChanged': True}, 'logging': {}}
    """
    both = {**other, **one}
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            both[key] = union(one[key], other[key])
        else:
            both[key] = one[key] or other[key]
    return {key: both[key] for key in [*one, *(key for key in other if key not in one)]}
