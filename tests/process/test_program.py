"""upstreams/connections/process/program.py: the words by which Windows starts a program."""

import pytest

from upstreams.config.entries import Entry
from upstreams.connections.process import program
from upstreams.connections.process.program import command_line, environment

NPX = r"C:\Program Files\nodejs\npx.CMD"


@pytest.fixture
def windows(monkeypatch):
    monkeypatch.setattr(program, "WINDOWS", True)


def test_a_batch_file_is_run_by_cmd_with_every_argument_in_quotes(windows):
    assert command_line(NPX, ["-y", "mcp-remote", "https://x/?a=1&b=%41"]) == (
        r'cmd.exe /d /e:on /v:off /c ""C:\Program Files\nodejs\npx.CMD" "-y" "mcp-remote" '
        r'"https://x/?a=1&b=%%cd:~,%41""')
    assert command_line(NPX, ['say "hi"', "C:\\", ""]).endswith(r' "say ""hi""" "C:\\" """')


@pytest.mark.parametrize("character", "\n\r\0")
def test_a_batch_file_gets_no_line_break(windows, character):
    with pytest.raises(ValueError, match="cannot have a line break"):
        command_line("x.bat", [f"a{character}b"])


def test_other_programs_are_left_to_python(windows):
    assert command_line(r"C:\node.exe", ["a&b"]) == [r"C:\node.exe", "a&b"]


def test_elsewhere_a_file_may_be_called_so():
    assert command_line("/bin/x.cmd", ["a\nb"]) == ["/bin/x.cmd", "a\nb"]


def test_path_may_be_written_in_any_way(windows, monkeypatch):
    monkeypatch.setenv("PATH", "ours")
    assert environment(Entry("a", env=(("Path", "its"),)))["PATH"] == "its"
