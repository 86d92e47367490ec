"""Names: what a server calls its things, what clients call them, and the way back.

*Our name* of a tool or prompt is what `rename` in the config makes of the server's *own* name,
mostly the same. A client of one server uses our names. Where several are seen together, `search`
of the server `github` is `github__search`, even if it is the only one: names must not change
because a second server is added. The way back is a table learned from the lists, not parsing,
because an over-long name is cut. URIs are never rewritten: they also occur inside results, where
we do not look."""

import fnmatch
import hashlib
import re

from transports.fabric.messages import dig, encode

LONGEST_REMEMBERED = 4 * 2**20     # bytes of one list
LONGEST_TOOL_NAME = 64  # several hosts refuse a whole session because of one longer name
_CUT = re.compile("_[0-9a-f]{8}$")
_MAKES_SLASHES = re.compile(r"\{[+#./;?&]|\*[,}]")    # in a URI template, as {+path} or {path*}

# method → (the capability it needs, the key of its items, the key that identifies an item)
LISTS = {
    "tools/list": ("tools", "tools", "name"),
    "prompts/list": ("prompts", "prompts", "name"),
    "resources/list": ("resources", "resources", "uri"),
    "resources/templates/list": ("resources", "resourceTemplates", "uriTemplate"),
    "tasks/list": ("tasks", "tasks", "taskId")}
TOOLS, PROMPTS, RESOURCES, TEMPLATES, TASKS = LISTS
LISTED = 2      # see Catalog.fits

# What a server may say of its lists → the capability of those that have changed.
CHANGED = {f"notifications/{kind}/list_changed": kind
           for kind in ("tools", "prompts", "resources")}


def outer_name(method, prefix, name):
    """What clients of all servers together call a tool or prompt.

    >>> outer_name(TOOLS, "github__", "x" * 70)
    'github__xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx_744f6d14'
    """
    full = prefix + name
    if method == TOOLS and len(full) > LONGEST_TOOL_NAME:
        digest = hashlib.sha256(full.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        return f"{full[:LONGEST_TOOL_NAME - 9]}_{digest}"
    return full


def made_from(template, uri):
    """Whether the URI template (RFC 6570) could have made the URI; generous about what an
    expression may hold. Not with a regular expression: a server could send a template that makes
    it take for ever.

    >>> made_from("file:///{+path}", "file:///a/b")
    True
    >>> made_from("notes:///{id}.md", "notes:///a.txt")
    False
    """
    first, *middle = re.split(r"\{[^{}]*\}", template)   # the texts between its expressions
    if not middle:
        return uri == first
    last = middle.pop()
    at, end = len(first), len(uri) - len(last)
    if not uri.startswith(first) or not uri.endswith(last) or at > end:
        return False
    for literal in middle:
        at = uri.find(literal, at, end)
        if at < 0:
            return False
        at += len(literal)
    return True


def page_of(tool):
    """The URI of the page that a host shows with the results of a tool (the extension MCP Apps);
    None if it has none.

    >>> page_of({"_meta": {"ui": {"resourceUri": "ui://clock"}}})
    'ui://clock'
    """
    found = dig(tool, "_meta", "ui", "resourceUri") or dig(tool, "_meta", "ui/resourceUri")
    return found if isinstance(found, str) else None


class Catalog:
    """What one upstream offers, learned from its lists.

    Only the server's reader thread replaces its tables, each by one assignment: no lock."""

    def __init__(self, entry):
        self.entry, self._prefix, self._hides = entry, entry.prefix, entry.hides
        self._ours = dict(entry.rename)             # own name → ours, where they differ
        self._renamed = {ours: own for own, ours in entry.rename}   # the way back
        self._descriptions = dict(entry.describe)   # by our name
        # method → {name or URI as clients of all servers together see it: the server's own}
        self.known = {method: {} for method in LISTS}
        self._own = {TOOLS: set(), PROMPTS: set()}  # own names, of hidden tools as well
        self.lists = {}             # method → its items, for when the process rests

    def under(self, entry):
        """The same, if the server's entry in the config is this one: under other names."""
        other = Catalog(entry)
        other._own, other.lists = self._own, self.lists
        other.known = {**self.known, **{method: {
            outer_name(method, entry.prefix, shown["name"]): name
            for name in names if (shown := other.shown(method, {"name": name}))}
            for method, names in self._own.items()}}
        return other

    def learn(self, method, items, is_new=True):
        """Remember a whole list, if it is new; returns it as clients of all servers together see
        it, without what no client sees and what has no proper name or URI."""
        key = LISTS[method][2]
        items = [item for item in items if isinstance(item, dict)
                 and isinstance(item.get(key), str)]
        if method == TASKS:     # they come and go: each session remembers its own
            return items
        known, seen = {}, []
        for item in items:
            if method not in self._own:
                known[item[key]] = item[key]
                seen.append(item)
            elif shown := self.shown(method, item):
                name = outer_name(method, self._prefix, shown["name"])
                known[name] = item["name"]
                seen.append({**shown, "name": name})
        if is_new:
            small = len(encode(items)) <= LONGEST_REMEMBERED
            self.lists = {**self.lists, method: items if small else None}
            self.known = {**self.known, method: known}
            if method in self._own:
                self._own = {**self._own, method: {item["name"] for item in items}}
        return seen

    def remembered(self, method):
        """The result of a list as the server gave it last; None if the server must be asked."""
        items = self.lists.get(method)
        return None if items is None else {LISTS[method][1]: items}

    def hear(self, method):
        """A notification of the server: what has changed is not remembered any more."""
        self.lists = {each: items for each, items in self.lists.items()
                      if LISTS[each][0] != CHANGED.get(method)}

    def names(self):
        """Its own names of its tools and prompts, to be compared."""
        return self._own[TOOLS], self._own[PROMPTS]

    def shown(self, method, item):
        """A tool or prompt under our name, with the description that the config has for it; None
        if no client sees it: it is hidden, or the config has given its name to another."""
        own = str(item.get("name"))
        ours = self._ours.get(own, own)
        if self.own_name(method, ours) != own:
            return None
        if ours != own:
            item = {**item, "name": ours}
        if ours in self._descriptions:
            item = {**item, "description": self._descriptions[ours]}
        return item

    def own_name(self, method, name):
        """The own name for ours; None if there is none, as of a hidden tool or a renamed one."""
        own = self._renamed.get(name, None if name in self._ours else name)
        return None if own and method == TOOLS and self._hides(own) else own

    def inner_name(self, method, name):
        """The own name for the client's; None if it is not this server's. Any name with our prefix
        is: the server may have something that it has not listed yet."""
        own = self.known[method].get(name)
        if own is None and self._prefix and name.startswith(self._prefix):
            if method == TOOLS and len(name) == LONGEST_TOOL_NAME and _CUT.search(name):
                return None  # it stands for another name
            own = self.own_name(method, name[len(self._prefix):])
        return own or None

    def inner_of_bare(self, method, name):
        """The own name for ours, if it has listed that; else None."""
        return self.known[method].get(outer_name(method, self._prefix, name))

    def fits(self, uri):
        """LISTED if it has listed the URI, or that as a template; 1 if a template fits; else 0."""
        if uri in self.known[RESOURCES] or uri in self.known[TEMPLATES]:
            return LISTED
        slashes = uri.count("/")    # a plain expression like {id} makes none
        return int(any((template.count("/") == slashes or _MAKES_SLASHES.search(template))
                       and made_from(template, uri) for template in self.known[TEMPLATES]))

    def count(self, method):
        """How many of them the server has, by its last list."""
        return len(self.known[method])

    def name_problems(self):
        """Sentences about `tools`, `rename` and `describe` that do not fit the server's lists."""
        yield from self._useless_patterns()
        for method, names in self._own.items():
            for name in sorted(names & self._renamed.keys() - self._ours.keys()):
                if not (method == TOOLS and self._hides(name)):
                    yield f'{name} is left out: "rename" gives its name to {self._renamed[name]}'
        own = set().union(*self._own.values())
        shown = {self._ours.get(name, name) for method in self._own
                 for name in self.known[method].values()}
        for key, unknown in (("rename", self._ours.keys() - own),
                             ("describe", self._descriptions.keys() - shown)):
            for name in sorted(unknown):
                yield f'"{key}" in its config is for {name}, which it does not have'

    def _useless_patterns(self):
        """A slip of the pen in `deny` leaves a tool on that was to be off."""
        useless = [(key, pattern)
                   for key, patterns in zip(self.entry.words, (self.entry.allow, self.entry.deny))
                   for pattern in patterns or () if not fnmatch.filter(self._own[TOOLS], pattern)]
        if self.entry.rules:
            useless += self.entry.rules.useless(self._own[TOOLS])
        for key, pattern in useless:
            yield (f'"{key}" in its config is for {pattern.replace("[[]", "[")}, which fits no '
                   "tool of it")
