"""What --check advises: what works here, and may not work with every host, or is not wise.

Names and schemas come from servers, so they are made fit to be shown. The values of secrets do
not come here: an Entry says only where they stand."""

import re
import threading

from transports.fabric.gather import Gather
from transports.fabric.text import printable
from upstreams.server.catalog import LONGEST_TOOL_NAME, RESOURCES, TOOLS, page_of
from upstreams.server.life import RUNNING
from upstreams.server.lists import LIST_SECONDS, Pages

from .schemas import refused_schemas

LONGEST_SHOWN = 100     # characters of a name from a server
MOST_SHOWN = 4          # things that one line names

_FIT_NAME = re.compile("[A-Za-z0-9_-]+")
_IN_CLEAR = ("a secret stands there in clear: write ${NAME} in its place, and set the variable "
             "NAME where the router is started")
_TOO_LONG = (f"with its prefix the name is over {LONGEST_TOOL_NAME} characters, so clients see it "
             'cut; a short "prefix" in the config helps')
_UNFIT = ('the name has other characters than letters, digits, "_" and "-": Claude Desktop, Codex '
          "and Copilot CLI then refuse all tools")


def advise(upstreams, clock):
    """The lines below the table, and {server's name, or None for all together: [what is said]}."""
    tools = _tools(upstreams, clock)
    found = {upstream.name: _about_server(upstream, items) for upstream, items in tools.items()}
    found[None] = [*_about_clashes(tools), *_about_pages(tools)]
    lines = [f"{name}: {line}" if name else line for name, pairs in found.items()
             for line in _lines(pairs)]
    return ["", "advice:", *lines] if lines else [], {
        name: [{"about": about, "text": text} for about, text in pairs]
        for name, pairs in found.items()}


def _tools(upstreams, clock):
    """{upstream: its tools as clients of all servers see them}. They are asked for again, since a
    catalog forgets the schemas of a list that may have changed."""
    tools, done = dict.fromkeys(upstreams, ()), threading.Event()

    def finish(lists, _missing):
        tools.update((upstream, items) for upstream, items in lists.items() if items)
        done.set()
    Gather([upstream for upstream in upstreams if upstream.catalog.count(TOOLS)
            and upstream.state == RUNNING], finish, clock, LIST_SECONDS).start(
        lambda upstream, put: Pages(upstream, TOOLS, put).ask())
    done.wait()
    return tools


def _lines(pairs):
    """One line for all that is said of several things."""
    together = {}
    for about, text in pairs:
        together.setdefault(text, []).append(about)
    return [", ".join(abouts[:MOST_SHOWN]) + (
        f" and {len(abouts) - MOST_SHOWN} more" if len(abouts) > MOST_SHOWN else "") + f": {text}"
        for text, abouts in together.items()]


def _about_server(upstream, tools):
    found = [(place, _IN_CLEAR) for place in upstream.entry.clear]
    found += [(f"{shown} ({name})", _TOO_LONG) for name, shown in cut_names(upstream.catalog)]
    found += [(tool["name"], _UNFIT) for tool in tools if not _FIT_NAME.fullmatch(tool["name"])]
    found += [(f"{tool['name']} {place}", what) for tool in tools
              for place, what in refused_schemas(tool)]
    return [(_shown(upstream, about), text) for about, text in found]


def cut_names(catalog):
    """The tools whose names are over-long, as (our name, what clients see)."""
    entry, renamed = catalog.entry, dict(catalog.entry.rename)
    return [(ours, outer) for outer, own in catalog.known[TOOLS].items()
            if entry.prefix + (ours := renamed.get(own, own)) != outer]


def _about_clashes(tools):
    found = {}
    for upstream, items in tools.items():
        for tool in items:
            found.setdefault(tool["name"], []).append(upstream)
    return [(_shown(having[0], name), _clash(*having)) for name, having in found.items()
            if len(having) > 1]


def _about_pages(tools):
    """Two servers with a page of the same URI: a tool of one is shown with the other's."""
    found = {}
    for upstream, items in tools.items():
        listed = [uri for uri in upstream.catalog.known[RESOURCES] if uri.startswith("ui://")]
        for uri in dict.fromkeys([*listed, *filter(None, map(page_of, items))]):
            found.setdefault(uri, []).append(upstream)
    return [(_shown(first, uri), f'is a page of "{first.name}" and of {_names(others)}: clients '
             f'of all servers together see that of "{first.name}" for both; a client that shows '
             "pages can connect to each of them alone")
            for uri, (first, *others) in found.items() if others]


def _names(upstreams):
    return " and ".join(f'"{upstream.name}"' for upstream in upstreams)


def _clash(first, *all_others):
    others = list(dict.fromkeys(each for each in all_others if each is not first))
    if not others:
        return f'"{first.name}" lists two tools of this name; clients see one'
    names = _names(others)
    return (f'is a tool of "{first.name}" and of {names}: clients of all servers together see '
            f'that of "{first.name}"; a "prefix" in the config tells them apart')


def _shown(upstream, text):
    return printable(upstream.entry.redact(text, LONGEST_SHOWN))
