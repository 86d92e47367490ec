"""What is long costs as much time as it is long: each place that looks into a text from outside
gets up to 1 MB of the worst that it could.

The regular expressions are found in the source, and each gets texts that are made from its own
characters. So a new one needs no entry here. A function that looks into a text in another way
needs a line in WORST; so does a regular expression that is put together while the program runs.
"""

import ast
import gc
import io
import itertools
import json
import logging
import re
import signal
import time
from pathlib import Path

import pytest
from rooms import APART, ROOT

from transports.fabric import messages
from transports.fabric.text import hidden, outline, printable, redacted
from transports.http.access_check import AccessCheck
from transports.http.streamable.streamable import HttpError, _stream_to_read, accepts
from transports.program.log import Stderr
from transports.program.options import Access
from transports.tap.tap import Tap
from upstreams.advice import in_clear
from upstreams.advice.schemas import refused_schemas
from upstreams.config import checking
from upstreams.config.checking import SERVER, check
from upstreams.config.dialects import comments, env_file, hosts, translation
from upstreams.config.dialects.values import HostValues
from upstreams.config.entries import Entry
from upstreams.config.programs import packages
from upstreams.connections.process.program import _quoted_for_cmd
from upstreams.connections.remote import event_stream, message_headers, problem
from upstreams.connections.remote.connection import HttpFailed, Origin
from upstreams.server.catalog import TOOLS, Catalog, made_from, outer_name

SIZES = 2**11, 2**14, 2**17, 2**20      # characters
STEP = 8                # from one size to the next; what is quadratic takes 64 times as long
ALLOWED = 5 * STEP        # as memory is slower the more of it is used
MOST_SECONDS = 6.0      # for 1 MB, on a slow machine
REFUSED = messages.Refused, HttpFailed, HttpError, ValueError, RecursionError


class Unending(BaseException):
    """It took far too long. No code of ours catches it."""


def cpu_seconds(function, *arguments):
    """The time of this thread that a call takes: other load does not count."""
    def give_up(*_):
        raise Unending
    before = signal.signal(signal.SIGVTALRM, give_up)
    gc.disable()    # its work comes in large steps
    signal.setitimer(signal.ITIMER_VIRTUAL, 2 * MOST_SECONDS)
    began = time.thread_time()
    try:
        function(*arguments)
    except REFUSED:
        pass
    finally:
        gc.enable()
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return time.thread_time() - began


def assert_linear(function, sizes=SIZES, short=0.004):
    """function(n) must take time in proportion to n. A step that seems to take a little more is
    measured again, as other things may have come between. Less than `short` seconds is not told
    from chance."""
    cpu_seconds(function, sizes[0])     # what is imported or compiled at the first call
    before = short
    for n in sizes:
        most = min(ALLOWED * before, MOST_SECONDS)
        for _ in range(3):
            seconds = cpu_seconds(function, n)
            if not most < seconds < 2 * most:
                break
        assert seconds <= most, f"{seconds:.3f} seconds for {n} characters"
        before = max(seconds, short)


# -- regular expressions

METHODS = {"match", "fullmatch", "search", "split", "findall", "finditer", "sub"}
FILES = [path for top in ("transports", "upstreams") for path in sorted((ROOT / top).rglob("*.py"))
         if path.parent != ROOT / APART] + [ROOT / "router.py"]
TREES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8")) for path in FILES}
# Where one is put together while the program runs → the function in WORST that uses it.
PUT_TOGETHER = {"upstreams/config/dialects/comments.py": "parse"}
LONG, SOON = 2**14, 0.004       # so many characters in so many seconds are no trouble
LENGTHS = 2**9, 2**12, 2**15    # else these tell


def made(call):
    """The pattern of a call of a function of `re`, or None if it is not written there."""
    options = {each.arg: each.value for each in call.keywords if each.arg == "flags"}
    if call.func.attr == "compile" and len(call.args) > 1:
        options["flags"] = call.args[1]
    try:
        pattern = ast.literal_eval(call.args[0])
    except ValueError:
        return None
    flags = eval(ast.unparse(options["flags"]), {"re": re}) if options else 0
    return re.compile(pattern, flags)


def patterns():
    """{where: (pattern, the methods that are called of it)}, and the files that have others."""
    nodes = [(path, node) for path, tree in TREES.items() for node in ast.walk(tree)]
    used = {}       # name of a pattern → the methods
    for _, node in nodes:
        if isinstance(node, ast.Attribute) and node.attr in METHODS \
                and isinstance(node.value, ast.Name):
            used.setdefault(node.value.id, set()).add(node.attr)
    called = {id(node.value): node.targets[0].id for _, node in nodes
              if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}
    found, others = {}, set()
    for path, node in nodes:
        if not (isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re.")
                and node.func.attr in METHODS | {"compile"}):
            continue
        if pattern := made(node):
            method = used.get(called.get(id(node)), METHODS) if node.func.attr == "compile" \
                else {node.func.attr}
            found[f"{path}:{node.lineno}"] = pattern, method
        else:
            others.add(path)
    return found, others


def look(pattern, method, text):
    """What the method does, to the end of the text."""
    if method in ("match", "fullmatch", "search"):
        getattr(pattern, method)(text)
    else:
        for _ in pattern.finditer(text):
            pass


def bad_texts(pattern):
    """Functions of a length: each of these units again and again, behind each beginning."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode()
    letters = sorted({*source} - {*"()?+^$"}) + [*" \n0a"]
    letters = list(dict.fromkeys(letters))[:16]
    words = [word for word in re.split(r"[^\w:/.-]+", source) if len(word) > 2]
    pairs = ["".join(pair) for pair in itertools.permutations(letters, 2)]
    units = [*letters, *words, *pairs, *(f"{pair} " for pair in pairs)]
    for begin, unit, end in itertools.product(["", *words[:1], '"'], units, ["\0"]):
        def text(n, begin=begin, unit=unit, end=end):
            whole = begin + unit * (n // len(unit)) + end
            return whole if isinstance(pattern.pattern, str) else whole.encode()
        yield text


def attack(pattern, methods):
    for text, method in itertools.product(bad_texts(pattern), methods):
        if cpu_seconds(look, pattern, method, text(LONG)) > SOON:
            assert_linear(lambda n: look(pattern, method, text(n)), LENGTHS, short=0.001)


FOUND, OTHERS = patterns()


@pytest.mark.parametrize("where", FOUND)
def test_a_regular_expression_takes_linear_time(where):
    attack(*FOUND[where])


def test_a_regular_expression_that_is_no_constant_is_named_here():
    assert OTHERS == {*PUT_TOGETHER}
    assert {*PUT_TOGETHER.values()} <= WORST.keys()


def test_a_regular_expression_that_takes_quadratic_time_would_be_seen():
    for pattern, method in ((r"\s*\|", "split"), (r'"(?:\\.|[^"\\])*"', "sub"),
                            (r"/\*.*?\*/", "sub"), (r"<[^>]*>", "search")):
        with pytest.raises((AssertionError, Unending)):
            attack(re.compile(pattern), {method})


# -- functions

def stated(called=()):
    return translation.Translated(Path("/x.json"), {}, "mcpServers.x", "x", {},
                                  called=dict(called))


def catalog(template):
    found = Catalog(Entry("x"))
    found.learn("resources/templates/list", [{"uriTemplate": template}])
    return found


def in_pieces(text, size):
    return [text[i:i + size] for i in range(0, len(text), size)]


def schema(outer, inner, n):
    """One long name, with many properties in it."""
    return {"inputSchema": {"type": "object", "properties": {outer * n: {
        "type": "object", "properties": {f"p{i}": inner for i in range(n // 20)}}}}}


def ask_access(name, text):
    has = {"Host": "localhost", "Origin": "http://localhost", name: text}
    for method in ("OPTIONS", "POST"):
        CHECK.judge(method, "/mcp", lambda name, default=None: has.get(name, default))


def events(text, size):
    for _ in event_stream.EventStream(2**20).events(in_pieces(text, size)):
        pass


CHECK = AccessCheck(Access(token=b"x"))
HOST_VALUES, TAP, CATALOG = HostValues(stated(), {}), Tap(), catalog("a{x}a{y}aaaab{z}")
ORIGIN = Origin("http://127.0.0.1/mcp")
LINES = b"data: x\n\n", b"\r", b"id:\n", b"data\n", b":"
NOBODY = type("NoSession", (), {"streams": {}, "outbox": None})

# name → [function(n)], each of which makes a bad text of about n characters and looks into it
WORST = {
    # -- transports
    "printable": [lambda n: printable("\x1b" * n)],
    "redacted": [lambda n: redacted(["x" * n], "x" * 9999, 4000),
                 lambda n: redacted(["x" * n], "x" * n, 2**14),
                 lambda n: redacted(["xy", "xxx"], "x" * n),
                 lambda n: redacted(["x" * n + "y"], "x" * 2 * n)],
    "Hidden.add": [lambda n: [hidden.add([text]) or hidden.add([], [text])
                              for text in ("\x1b'\"" * (n // 3), "\\" * n)]],
    "outline": [lambda n: outline({"x" * n: ["x"] * n})],
    "Stderr.clean": [lambda n: Stderr().clean("\n" * n)],
    "decode": [lambda n, text=text: messages.decode(text * (n // len(text)))
               for text in (b"1", b"[", b'{"":', b'"\\ud800', b"\xff", b"1.", b" ", b"-")] + [
               lambda n: messages.decode(b"0." + b"0" * n + b"1"),
               lambda n: messages.decode(b"[" + b"[]," * (n // 3) + b"0]"),
               lambda n: messages.decode(b"[" * 150 + b"0," * (n // 2) + b"0" + b"]" * 150)],
    "_quoted_for_cmd": [lambda n: _quoted_for_cmd("\\" * n + "a")],
    "messages_within": [lambda n, text=text: messages.messages_within(text * (n // len(text)))
                        for text in (b'x{"', b'x{"jsonrpc":"2.0","method":"a"}', b'{"a":[')],
    "id_of_answer": [lambda n, text=text: messages.id_of_answer(
        b'{"jsonrpc"' + text * (n // len(text))) for text in (b" ", b'"id"', b'"id":', b'"id":1')],
    "each_line": [lambda n: list(messages.each_line(io.BytesIO(b"\n" * n).readline, n)),
                  lambda n: list(messages.each_line(
                      io.BytesIO(b"x" * n + b"\n" * n).readline, 900))],
    "AccessCheck.judge": [lambda n, name=name, text=text: ask_access(name, text * (n // 4))
                          for name in ("Host", "Origin", "Authorization",
                                       "Access-Control-Request-Headers")
                          for text in ("a.b:", "http", "[:::", "    ", "mcp-param-")],
    "accepts": [lambda n, text=text: accepts(f"a/b{text * (n // 128)}{n}", "application/json")
                 for text in (",a/b", ";a=b", ";;;;", ',";"', '"\\"\\', ";q=1")],
    "_stream_to_read": [lambda n: _stream_to_read(NOBODY, "1" * n + "-1")],
    "Tap": [lambda n: TAP.open() and TAP.to_client("x", {"id": "x" * n, "method": "y" * n},
                                                   b"x" * n)],
    # -- config
    "parse": [lambda n, text=text: comments.parse('{"' + text * (n // len(text)))
              for text in ('\\"', "/* ", "/*", "//", ", ", ",", " ", '"', '":{"', "/")] + [
              lambda n: comments.parse("/*" + "/* " * (n // 3)),
              lambda n: comments.parse("{" + '"a":1,' * (n // 6) + "}")],
    "Values.expand": [lambda n, text=text, end=end: HOST_VALUES.expand(
                          "here", text * (n // len(text)) + end * (n // len(text)))
                      for text, end in (("${HOME}", ""), ("${A_:-", "}"), ("${", ""))] + [
                      lambda n: HOST_VALUES.expand("here", "${env:A_" + " " * n + "x}"),
                      lambda n: HOST_VALUES.expand("here", "${env:A_" + "|env:A_" * n + "}")],
    "parse_env_file": [lambda n, text=text: env_file.parse_env_file("x", text * (n // len(text)))
                       for text in ('A="\\"', "A='\nB=\"\n", " ", "export ", "A", "A= #", "A=\n",
                                    '"', "A=' #\n")],
    "in_clear": [lambda n, text=text: in_clear(
                     {"args": [text * (n // len(text))], "env": {text * 9: "x" * n}})
                 for text in ("a", "eyJ", "eyJa.", "://a:", "://:", "token=", "sk-", "A", "Aa",
                              "a-", 'a"=', "token: ")],
    "names": [lambda n, text=text: [checking.segment(text * n), checking.prefix(text * n),
                                    packages.words_of(text * n, [text * n, "git+" + text * n]),
                                    packages.lists_by_capabilities([text * n])]
              for text in ("/", "@", "=", "\n", "é", ".", "-")] + [
              lambda n: checking.segment("\u0315" * n + "\u0327" * n)],
    "hosts.split": [lambda n, text=text: hosts.split(text * (n // len(text)))
                    for text in ("a", "a ", '"', "\\", "'a")],
    "hosts._with_dollars": [lambda n: hosts._with_dollars("{env:" * (n // 5))],
    "Translated.place": [lambda n: [where.place(f"args.{i}") for where in [stated(
        (f"args.{i}", f"command.{i}") for i in range(n // 10))] for i in range(n // 10)],
        lambda n: stated({"env": "x"}).place("env" + "." * n)],
    "check": [lambda n: check(SERVER, {"command": "x", "args": ["x"] * (n // 4)}, str)],
    "Entry.hides": [lambda n: Entry("x", allow=("*a*a*a*a*b", "*aa?a*[!a]*", "a" * 99)).hides(
                    "a" * n)],
    # -- servers
    "outer_name": [lambda n: outer_name(TOOLS, "x", "x" * n)],
    "made_from": [lambda n: made_from("a{x}a{y}aaab{x}", "a" * n),
                  lambda n: made_from("{" * n, "a" * n),
                  lambda n: made_from("{}a" * (n // 3), "a" * n)],
    "Catalog.fits": [lambda n: CATALOG.fits("a" * n), lambda n: catalog("{" * n).fits("/" * n)],
    "refused_schemas": [lambda n: list(refused_schemas(schema("x", True, n)))],
    "parameters_of": [lambda n: message_headers.parameters_of(schema("x", {
        "type": "string", "x-mcp-header": "Y"}, n))],
    "encoded": [lambda n: message_headers.encoded(" " + "a " * n)],
    "EventStream": [lambda n, line=line, size=size: events(line * (n // len(line)), size)
                    for line in LINES for size in (9, 2**16)],
    "without_markup": [lambda n, text=text: problem.without_markup(text * (n // len(text)))
                       for text in ("<", "<script", "<style>", "</script", "<script></script",
                                    "<a ", ">")],
    "shown": [lambda n: problem.shown(" x" * n), lambda n: problem.shown(b"\xff" * n)],
    "error_in": [lambda n: problem.error_in(json.dumps({"error": {"": [[]] * n}}).encode())],
    "Retry-After": [lambda n, text=text: problem._pause({"retry-after": text * (n // len(text))})
                    for text in ("9", "9 ", "Mon, 1 Jan ", "(", ":", ",", "+")],
    "Origin.target_of": [lambda n, text=text: ORIGIN.target_of(text * (n // len(text)), "/mcp")
                         for text in ("../", "//ü", "//ü.", "[", "@", "ü", "?", ";", ":", "%")] + [
                         lambda n: ORIGIN.target_of("http://" + "ü." * n, "/mcp"),
                         lambda n: ORIGIN.target_of("http://a:" + "1" * n, "/mcp")],
}


@pytest.mark.parametrize("name", WORST)
def test_the_worst_text_costs_linear_time(name):
    logging.disable()
    try:
        for function in WORST[name]:
            assert_linear(function)
    finally:
        logging.disable(logging.NOTSET)
