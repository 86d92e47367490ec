"""The command line: what is wrong with it in words, and what is printed on standard output."""

import subprocess
import sys

import pytest

from by_hand import ROUTER
from processes import ROOT, fake


@pytest.mark.parametrize("options, sentence", [
    (["--prot", "80"], "there is no option --prot; did you mean --port?"),
    (["--max", "80"], "there is no option --max; did you mean --max-sessions or --max-calls or "
                      "--max-processes or --max-message?"),
    (["--nonsense"], "there is no option --nonsense; --help lists all options"),
    (["-"], "there is no option -; --help lists all options"),
    *(([f"--{name}="], f"--{name} needs a value, and what is given is empty") for name in (
        "port", "max-calls", "host", "trace", "connect", "list-wait", "config", "group")),
    (["-x"], "there is no option -x; --help lists all options"),
    (["--insecure", "--"], "-- is no option, and there is nothing else: --help lists all options"),
    (["config.json"], "config.json is no option, and there is nothing else: --help lists all "
                      "options"),
    (["--port"], "--port needs a value: --port PORT"),
    (["--port", "1", "--po=2"], "--port is given twice"),
    (["--json", "--json"], "--json is given twice"),
    (["--config", "a", "--config", "b", "--host", "c", "--host", "d"], "--host is given twice"),
    (["--insecure=3"], "--insecure takes no value"),
    (["--login", "--logout"], "these words do not go together: --help tells which do"),
    (["--login", "a", "b"], "these words do not go together: --help tells which do"),
])
def test_what_is_wrong_with_the_options_is_said_in_a_sentence(run, options, sentence):
    done = run(*ROUTER, *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == f"router.py: {sentence}\n"


@pytest.mark.parametrize("options", [["--version"], ["--vers", "--port", "80"]])
def test_the_beginning_of_an_option_is_enough(run, options):
    assert run(*ROUTER, *options).stdout.count(b".") == 2


@pytest.mark.parametrize("options", [["--help"], ["--version"], ["--check"],
                                     ["--check", "--json"]])
def test_a_standard_output_that_is_full_is_a_sentence_and_status_1(config, options):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*ROUTER, *options, "--config", config(fake=fake())], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.endswith("router.py: standard output cannot be written: No space left on "
                                "device\n")


@pytest.mark.parametrize("options", [["--help"], ["--check"]])
def test_a_reader_that_has_seen_enough_is_no_error(config, options):
    router = subprocess.Popen([*ROUTER, *options, "--config", config(fake=fake())],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    router.stdout.close()
    with router.stderr as stderr:
        said = stderr.read()
    assert router.wait(30) == 0 and "Traceback" not in said and "output" not in said, said


def test_text_that_the_encoding_of_standard_output_does_not_have_is_escaped(run, config):
    done = run(*ROUTER, "--check", "--config", config(fake={"command": "nö-such"}),
               env={"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "ascii"})
    assert rb'the command "n\xf6-such" was not found' in done.stdout, done.stderr


@pytest.mark.parametrize("before, sentence", [
    ("sys.path[:] = [path for path in sys.path if 'site-packages' not in path]",
     "docopt, flask, jsonschema, waitress: not installed for {python}; start the router with "
     "the Python of its .venv, or run: {python} -m pip install -r {root}/requirements.txt"),
    ("sys.version_info = (3, 9, 6)", "Python 3.10 or later is needed, and {python} is 3.9"),
])
def test_what_must_be_installed_first_is_said_in_a_sentence(run, before, sentence):
    done = run(sys.executable, "-c", "import runpy, sys\n" + before + """
sys.argv, sys.path[0] = ["router.py", "--version"], sys.argv[1]
runpy.run_path(sys.argv[0], run_name="__main__")
""".replace("sys.argv[0]", repr(str(ROOT / "router.py"))), ROOT)
    assert done.returncode == 1
    assert done.stderr.decode() == "router.py: " + sentence.format(
        python=sys.executable, root=ROOT) + "\n"
