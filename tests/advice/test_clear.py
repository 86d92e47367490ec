"""Which values of a config count as secrets that stand in it in clear."""

import time

import pytest

from upstreams.advice import in_clear


@pytest.mark.parametrize("server, where", [
    ({"env": {"AWS_SECRET_ACCESS_KEY": "abcdefgh"}}, "env.AWS_SECRET_ACCESS_KEY"),
    ({"env": {"githubToken": "abcdefgh"}}, "env.githubToken"),
    ({"env": {"HEADERS": '{"Authorization": "Bearer abcdef"}'}}, "env.HEADERS"),
    ({"env": {"DSN": "Server=db;Password=abcdef;Port=1"}}, "env.DSN"),
    ({"env": {"X": "sk-0123456789abcdefghij"}}, "env.X"),
    ({"headers": {"Authorization": "Bearer abc"}}, "headers.Authorization"),
    ({"headers": {"X-Api-Key": "abcdefgh"}}, "headers.X-Api-Key"),
    ({"args": ["--header", "Authorization: Bearer abcdef"]}, "args.1"),
    ({"args": ["--api-key", "abcdef"]}, "args.1"),
    ({"args": ["run", "-e", "GITHUB_TOKEN=abcdef"]}, "args.2"),
    ({"url": "https://example.com/mcp?apiKey=abcdef"}, "url"),
    ({"url": "https://example.com/s/NzY0a1b2c3d4e5f6g7h8/mcp"}, "url"),
    ({"url": "https://example.com/0f8fad5b-d9cb-469f-a165-70867728950e"}, "url"),
    ({"url": "https://example.com/model-context-protocol-server-2026/v2/internationalization"},
     None),
    ({"env": {"SSH_AUTH_SOCK": "/tmp/agent", "TOKEN_FILE": "abcdefgh", "AUTH_TYPE": "bearer",
              "MAX_TOKENS": "100000", "KEY": "true", "AUTHOR": "somebody"}}, None),
    ({"env": {"KEY": "${KEY}", "TOKEN": "Bearer ${TOKEN}"}, "headers": {"A": "x"},
      "args": ["-y", "mcp-auth@1", "-e", "TOKEN", "--key-file=./abcdef", "--token", "--verbose"],
      "url": "https://${USER}:${PASSWORD}@example.com"}, None),
    ({"headersCommand": ["get", "--token", "hunter2"]}, "headersCommand.2"),
])
def test_what_counts_as_a_secret_in_clear(server, where):
    assert list(in_clear(server)) == ([where] if where else [])


@pytest.mark.parametrize("value", [
    "a1b2c3d4" * 5000, "eyJ-" * 10_000, "sk-" * 10_000, "token=" * 10_000, "://a:" * 10_000])
def test_a_long_value_is_searched_for_secrets_in_linear_time(value):
    """With one attempt at each of its characters, the first one took a minute."""
    before = time.process_time()
    in_clear({"args": [value], "env": {"A": value}})
    assert time.process_time() - before < 1
