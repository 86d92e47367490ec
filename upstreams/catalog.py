"""Names: what a server calls its things, what clients call them, and the way back.

Where all servers are seen together, `search` of the server `github` is `github__search`, even if
it is the only server: names must not change because a second one is added. The way back is a
table learned from the server's lists, not parsing, because an over-long name is cut. URIs are
never rewritten: they also occur inside results, where we do not look.
"""

import hashlib
import re

LONGEST_TOOL_NAME = 64  # several hosts refuse a whole session because of one longer name

# method → (the capability it needs, the key of its items, the key that identifies an item)
LISTS = {
    "tools/list": ("tools", "tools", "name"),
    "prompts/list": ("prompts", "prompts", "name"),
    "resources/list": ("resources", "resources", "uri"),
    "resources/templates/list": ("resources", "resourceTemplates", "uriTemplate"),
    "tasks/list": ("tasks", "tasks", "taskId"),
}
TOOLS, PROMPTS, RESOURCES, TEMPLATES, TASKS = LISTS

# What a server may say of its lists → the lists that have changed.
CHANGED = {
    "notifications/tools/list_changed": [TOOLS],
    "notifications/prompts/list_changed": [PROMPTS],
    "notifications/resources/list_changed": [RESOURCES, TEMPLATES],
}


def outer_name(method, prefix, name):
    """What clients call a tool or prompt.

    >>> outer_name(TOOLS, "github__", "search")
    'github__search'
    >>> outer_name(TOOLS, "github__", "x" * 70)
    'github__xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx_744f6d14'
    """
    full = prefix + name
    if method == TOOLS and len(full) > LONGEST_TOOL_NAME:
        digest = hashlib.sha256(full.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        return f"{full[:LONGEST_TOOL_NAME - 9]}_{digest}"
    return full


_CUT = re.compile("_[0-9a-f]{8}$")


def literals_of(template):
    """A URI template (RFC 6570) as the texts between its expressions.

    >>> literals_of("notes:///{folder}/{id}.md")
    ['notes:///', '/', '.md']
    """
    return re.split(r"\{[^{}]*\}", template)


def made_from(literals, uri):
    """Whether the template could have made the URI; generous about what an expression may hold.

    Not with a regular expression: a server could send a template that makes it take for ever.

    >>> made_from(literals_of("file:///{+path}"), "file:///a/b")
    True
    >>> made_from(literals_of("notes:///{id}.md"), "notes:///a.txt")
    False
    """
    first, last = literals[0], literals[-1]
    if len(literals) == 1:
        return uri == first
    at, end = len(first), len(uri) - len(last)
    if not uri.startswith(first) or not uri.endswith(last) or at > end:
        return False
    for literal in literals[1:-1]:
        at = uri.find(literal, at, end)
        if at < 0:
            return False
        at += len(literal)
    return True


class Catalog:
    """What one upstream offers, learned from its lists.

    Its tables are never changed, only replaced, each by one assignment, and only by the reader
    thread of the server. So readers need no lock.
    """

    def __init__(self, prefix, hides=lambda tool: False):
        self._prefix = prefix
        self._hides = hides         # whether a tool is not offered, by the server's name for it
        self._inner = {}            # method → {the client's name: the server's}
        self._bare = {}             # method → {the server's names}
        self._uris = frozenset()
        self._templates = {}        # template → its literals

    def learn(self, method, items):
        """Remember a whole list; returns it as clients of all servers together see it.

        Items without a proper name or URI are left out.
        """
        key = LISTS[method][2]
        items = [item for item in items if isinstance(item, dict)
                 and isinstance(item.get(key), str)]
        if method == TASKS:  # they come and go; each session remembers its own
            return items
        if method == RESOURCES:
            self._uris = frozenset(item[key] for item in items)
            return items
        if method == TEMPLATES:
            self._templates = {item[key]: literals_of(item[key]) for item in items}
            return items
        if method == TOOLS:
            items = [item for item in items if not self._hides(item[key])]
        inner = {outer_name(method, self._prefix, item[key]): item[key] for item in items}
        self._inner = {**self._inner, method: inner}
        self._bare = {**self._bare, method: frozenset(inner.values())}
        return [{**item, key: outer_name(method, self._prefix, item[key])} for item in items]

    def inner_name(self, method, name):
        """The server's name for the client's; None if it is not this server's.

        Any name with our prefix is: the server may have something that it has not listed yet.
        """
        inner = self._inner.get(method, {}).get(name)
        if inner is None and self._prefix and name.startswith(self._prefix):
            inner = name[len(self._prefix):]
            if method == TOOLS and (self._hides(inner) or len(name) == LONGEST_TOOL_NAME
                                    and _CUT.search(name)):  # which stands for another name
                return None
        return inner or None

    def has_bare(self, method, name):
        return name in self._bare.get(method, ())

    def has_uri(self, uri):
        return uri in self._uris

    def matches_template(self, uri):
        """Whether the URI is one of its templates, or one of them could have made it."""
        return any(uri == template or made_from(literals, uri)
                   for template, literals in self._templates.items())

    def count(self, method):
        """How many of them the server has, by its last list."""
        if method in (RESOURCES, TEMPLATES):
            return len(self._uris if method == RESOURCES else self._templates)
        return len(self._inner.get(method, ()))

    def cut_names(self):
        """The tools whose names are over-long, as (the server's name, what clients see)."""
        return [(inner, outer) for outer, inner in self._inner.get(TOOLS, {}).items()
                if len(self._prefix + inner) > LONGEST_TOOL_NAME]
