"""The official suite judges what the router says to remote servers: its client scenarios."""

import re
import sys

import pytest

from processes import NPM_FOLDER, ROOT, npm

SCENARIOS = [
    ("2025-11-25", "initialize"),
    ("2025-11-25", "tools_call"),
    ("2025-11-25", "elicitation-sep1034-client-defaults"),
    ("2025-11-25", "sse-retry"),
    ("2026-07-28", "tools_call"),
    ("2026-07-28", "request-metadata"),
    ("2026-07-28", "sep-2322-client-request-state"),
    ("2026-07-28", "http-standard-headers"),
    ("2026-07-28", "http-custom-headers"),
    ("2026-07-28", "http-invalid-tool-headers"),
    ("2026-07-28", "json-schema-ref-no-deref"),
]


@pytest.mark.parametrize("revision, scenario", SCENARIOS)
def test_the_router_passes_the_official_suites_client_scenario(run, revision, scenario):
    npm("conformance")
    suite = NPM_FOLDER / "node_modules" / ".bin" / "conformance"
    client = f"{sys.executable} {ROOT / 'tests' / 'conformance_client.py'}"
    done = run("node", str(suite), "client", "--command", client, "--scenario", scenario,
               "--spec-version", revision, timeout=300)
    report = done.stderr.decode()
    print(report)
    passed, checks = re.search(r"^Passed: (\d+)/(\d+), 0 failed, 0 warnings$", report,
                               re.MULTILINE).groups()
    assert passed == checks != "0" and done.returncode == 0
