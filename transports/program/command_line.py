"""The command line: what is wrong with it, in words, and what goes to standard output.

router.py imports this first: it says what must be installed. So older Pythons must read it."""

import contextlib
import difflib
import importlib.util
import io
import os
import re
import sys

from .options import CannotServe

if sys.version_info < (3, 10):
    sys.exit("router.py: Python 3.10 or later is needed, and {} is {}.{}".format(
        sys.executable, *sys.version_info[:2]))
missing = [name for name in ("docopt", "flask", "jsonschema", "waitress")
           if importlib.util.find_spec(name) is None]
if missing:
    needed = os.path.join(os.path.abspath(__file__ + "/../../.."), "requirements.txt")
    sys.exit(f"router.py: {', '.join(missing)}: not installed for {sys.executable}; start the "
             f"router with the Python of its .venv, or run: {sys.executable} -m pip install -r "
             f"{needed}")


def read(usage, version):
    """The command line, by docopt. --help and --version end the program. Raises ValueError."""
    import docopt  # not before it was looked for
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            given = docopt.docopt(usage, version=version)
    except docopt.DocoptExit:
        raise ValueError(_wrong(usage, sys.argv[1:]) or "these words do not go together: --help "
                         "tells which do") from None
    except SystemExit:
        say(printed.getvalue().rstrip("\n"))
        raise
    for option, value in given.items():     # a script may have an unset variable there
        if "" in (value if isinstance(value, list) else [value]):
            raise ValueError(f"{option} needs a value, and what is given is empty")
    return given


def _wrong(usage, words):
    """The first thing that is wrong in these words of the command line, in a sentence."""
    options = dict(re.findall(r"^  (--[\w-]+) ?([A-Z]*)", usage, re.MULTILINE))
    often = re.findall(r"\[(--[\w-]+) \w+\]\.\.\.", usage)
    given, words = set(), iter(words)
    for word in words:
        name, equals, _ = word.partition("=")
        near = [each for each in options if each.startswith(name) and name != "-"]
        name = near[0] if len(near) == 1 else name      # docopt takes a beginning, too
        if not word.startswith("-") or word == "--":
            if given & {"--login", "--logout"}:
                continue
            return f"{word} is no option, and there is nothing else: --help lists all options"
        if name not in options:
            near = " or ".join(near or difflib.get_close_matches(name, options, 1, 0.7))
            return f"there is no option {name}; " + (
                f"did you mean {near}?" if near else "--help lists all options")
        if name in given.difference(often):
            return f"{name} is given twice"
        given.add(name)
        if equals and not options[name]:
            return f"{name} takes no value"
        if options[name] and not equals and next(words, None) is None:
            return f"{name} needs a value: {name} {options[name]}"
    return None


def say(text):
    """Print on standard output. That `head` has seen enough is no error. Raises CannotServe."""
    if sys.stdout is None:      # it is closed
        return
    try:
        sys.stdout.reconfigure(errors="backslashreplace")
        print(text, flush=True)
    except OSError as problem:
        # Else Python writes the rest at its end, and shows that this failed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(problem, BrokenPipeError):
            raise CannotServe(
                f"standard output cannot be written: {problem.strerror}") from None
