"""Several servers together as one: names have prefixes, lists are merged. A name, a URI or a task
id says which server a request is for; one without is refused."""

import functools

from transports.fabric.gather import Gather, OnAnswer
from transports.fabric.messages import (INVALID_PARAMS, METHOD_NOT_FOUND, Refused, params_of,
                                        result, text_param)
from transports.fabric.text import log
from upstreams.server.catalog import LISTED, LISTS, TASKS, page_of
from upstreams.server.lists import (INITIALIZE_PATIENCE, LIST_SECONDS, Pages, kept,
                                    when_session_settled)

from .surface import Surface, task_seen, unknown

RESOURCE_NOT_FOUND = -32002     # 2025-11-25, Resources, Error Handling
LONGEST_INSTRUCTIONS = 4000     # characters of each server's, in the answer to initialize
MOST_LOGGED_CLASHES = 1000


class Aggregate(Surface):
    """All servers, or those of a group; what does not belong to the group is unknown there."""

    def __init__(self, pool, clock, server_info, list_patience):
        """`list_patience`: seconds that a session's first list waits for servers that start."""
        super().__init__(pool, {
            **dict.fromkeys(LISTS, self._list),
            **dict.fromkeys(("resources/read", "resources/subscribe"), self._by_uri),
        }, self._refuse)
        self.group = None   # the names of its servers, in order; None for all there are
        self._clock, self._list_patience = clock, list_patience
        self._server_info = server_info
        self._logged_clashes = set()  # so that each is logged once

    def names(self, known):
        shown = known if self.group is None else self.group
        return [name for name in shown if name in known]

    def patience(self, _session):
        return INITIALIZE_PATIENCE

    def initialize(self, session):
        upstreams = session.upstreams.values()
        # Servers come and go: a client that was told of no tools would not hear of new ones.
        capabilities = {kind: {"listChanged": True} for kind in ("tools", "prompts", "resources")}
        for upstream in upstreams:
            capabilities = union(capabilities, upstream.capabilities)
        answer = {"protocolVersion": session.version, "capabilities": capabilities,
                  "serverInfo": self._server_info}
        sections = [f"[{upstream.name}]\n{text[:LONGEST_INSTRUCTIONS]}" for upstream in upstreams
                    if isinstance(text := upstream.info.get("instructions"), str) and text]
        if sections:
            answer["instructions"] = "\n\n".join(sections)
        return answer

    def server_info(self, _session):
        return self._server_info

    def notification(self, session, message):
        upstreams = session.tasks.of(str(params_of(message).get("taskId")))
        if message["method"] == "notifications/tasks/status" and upstreams:
            upstreams[0].send(message)  # the client answers a question of this server as a task
        else:
            log.debug("%s: %s was dropped: it names no server", session.name, message["method"])

    def _refuse(self, _session, message, _call):
        raise Refused(METHOD_NOT_FOUND, f"Method not found: {message['method']}")

    # -- lists

    def _list(self, session, message, call):
        """The first list of a session waits for servers that still start, as some hosts ignore
        list_changed. One of a single request does not wait for what fails again and again."""
        method = message["method"]
        if params_of(message).get("cursor"):
            raise Refused(INVALID_PARAMS, f"{method}: no such cursor: all is on the first page")
        list_now = functools.partial(self._list_now, session, method, call)
        if method in session.listed or session.is_brief and all(
                each.restarts.failures > bool(each.info)
                for each in session.upstreams.values() if each.is_settling()):
            list_now()
        else:
            session.listed.add(method)
            when_session_settled(session, list_now, self._clock, self._list_patience)

    def _list_now(self, session, method, call):
        """Ask every server that has such a list; answer with one page, in the end without some."""
        capability, key, _ = LISTS[method]
        upstreams = [upstream for upstream in able(session, capability)
                     if method != TASKS or "list" in upstream.capabilities.get("tasks", ())]

        def ask(upstream, put):
            asked.append(Pages(upstream, method, put, call))
            asked[-1].ask()

        def finish(lists, missing):
            if missing and not call.ended:
                log.warning("%s: left out after %g seconds without an answer: %s", method,
                            LIST_SECONDS, ", ".join(sorted(upstream.name for upstream in missing)))
                call.withdraw("it took too long")
            items = [(upstream, item) for upstream in upstreams
                     for item in lists.get(upstream) or ()]
            is_whole = not missing and None not in lists.values() \
                and all(upstream.capabilities for upstream in session.upstreams.values())
            items = self._merged(method, items) if method != TASKS else [
                task for upstream, task in items if task_seen(session, upstream, task)]
            hints = kept(*(pages.kept for pages in asked)) if is_whole else {}
            call.send(result(call.id, {key: items, **hints}))

        asked = []
        Gather(upstreams, finish, self._clock, LIST_SECONDS).start(ask)

    def _merged(self, method, items):
        """In the config's order, or the group's. Of two equal names or URIs the first stays."""
        key, merged, pages = LISTS[method][2], {}, {}
        before = f'a server before it in the {"config" if self.group is None else "group"} has '
        for upstream, item in items:
            first, kept = merged.setdefault(item[key], (upstream, item))
            page = page_of(item)
            if kept is not item:
                self._log_clash("%s: %r of server \"%s\" is left out: " + (
                    "it lists that twice" if first is upstream else before + "the same"),
                    method, item[key], upstream.name)
            elif page and pages.setdefault(page, upstream) is not upstream:
                self._log_clash(f"%s: the page %r of server \"%s\": {before}one of this URI, "
                                "which may be shown in its place", method, page, upstream.name)
        return [item for _, item in merged.values()]

    def _log_clash(self, text, *clash):
        if clash not in self._logged_clashes and len(self._logged_clashes) < MOST_LOGGED_CLASHES:
            self._logged_clashes.add(clash)
            log.warning(text, *clash)

    # -- requests for one server

    def find(self, session, listing, name):
        upstreams = session.upstreams.values()
        for upstream in upstreams:
            inner = upstream.catalog.inner_name(listing, name)
            if inner is not None:
                return upstream, inner
        # A name without its prefix is accepted if only one server has it.
        bare = [(upstream, inner) for upstream in upstreams
                if (inner := upstream.catalog.inner_of_bare(listing, name))]
        if len(bare) == 1:
            return bare[0]
        names = ", ".join(upstream.name for upstream, _ in bare)
        raise unknown(listing, name, names and f" (several servers have it: {names})")

    def _template(self, session, uri):
        found = fitting(session, uri)
        if not found or not found[0][0]:
            raise Refused(INVALID_PARAMS, "completion/complete: params.ref names no prompt and no "
                                          "resource template that is known here")
        return found[0][1]

    def _by_uri(self, session, message, call):
        """To the server that listed it, or to one after another, by how well templates fit it."""
        uri = text_param(message, "uri")

        def ask(upstream, reply_to):
            if message["method"] == "resources/read":
                self.call(session, upstream, message, call, reply_to)
            else:
                upstream.audience.subscribe(session, message, reply_to)

        not_found = Refused(RESOURCE_NOT_FOUND, f"Resource not found: {uri}", {"uri": uri})
        found = fitting(session, uri)
        if not found:
            raise not_found
        fits, upstreams = zip(*found)
        # An error of the one server that knows such URIs says more than that there is none.
        says_more = len(fits) == 1 or sum(fits) == 1
        if fits[0] == LISTED:
            ask(upstreams[0], call)
        else:
            ask_in_turn(upstreams, ask, call, None if says_more else not_found.answer(call.id))


def ask_in_turn(upstreams, ask, call, otherwise):
    """Call ask(upstream, reply_to) for one after another, until one gives an answer that is no
    error. If none does, the call gets the answer `otherwise`; without it, the first error."""
    def answered(answer):
        if "error" not in answer:
            call.send(answer)
        elif others and not call.ended:
            ask_in_turn(others, ask, call, otherwise or answer)
        else:
            call.send(otherwise or answer)

    upstream, *others = upstreams
    try:
        ask(upstream, OnAnswer(answered, call))
    except Refused as problem:
        answered(problem.answer(call.id))


def able(session, capability):
    """The upstreams that the session sees and that have this capability."""
    return [upstream for upstream in session.upstreams.values()
            if capability in upstream.capabilities]


def fitting(session, uri):
    """[(how well the URI fits what it has listed, upstream)], the best first."""
    return sorted(((upstream.catalog.fits(uri), upstream) for upstream in
                   able(session, "resources")), key=lambda each: each[0], reverse=True)


def union(first, second):
    """Two capability objects as one; if both have a plain value, true wins."""
    both = {**first, **second}
    for key in first.keys() & second.keys():
        if isinstance(first[key], dict) and isinstance(second[key], dict):
            both[key] = union(first[key], second[key])
        else:
            both[key] = first[key] or second[key]
    return both
