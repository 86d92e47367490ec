"""The official suite judges how the router logs in: its scenarios of authorization for clients."""

import re
import sys
from pathlib import Path

import pytest

from processes import NPM_FOLDER, npm

EVERY_REVISION = [
    "metadata-default", "metadata-var1", "metadata-var2", "metadata-var3", "basic-cimd",
    "scope-from-www-authenticate", "scope-from-scopes-supported", "scope-omitted-when-undefined",
    "scope-step-up", "scope-retry-limit", "token-endpoint-auth-basic", "token-endpoint-auth-post",
    "token-endpoint-auth-none", "pre-registration"]
SCENARIOS = {
    "2025-03-26": ["2025-03-26-oauth-metadata-backcompat", "2025-03-26-oauth-endpoint-fallback"],
    "2025-11-25": EVERY_REVISION,
    "2026-07-28": [*EVERY_REVISION, "resource-mismatch", "offline-access-scope",
                   "offline-access-not-supported", "authorization-server-migration",
                   "iss-supported", "iss-not-advertised", "iss-supported-missing",
                   "iss-wrong-issuer", "iss-unexpected", "iss-normalized",
                   "metadata-issuer-mismatch"],
}


@pytest.mark.parametrize("revision, scenario", [
    (revision, scenario) for revision, scenarios in SCENARIOS.items() for scenario in scenarios])
def test_the_router_passes_the_official_suites_scenario_of_authorization(run, revision, scenario):
    npm("conformance")
    suite = NPM_FOLDER / "node_modules" / ".bin" / "conformance"
    client = f"{sys.executable} {Path(__file__).with_name('official_client.py')}"
    done = run("node", str(suite), "client", "--command", client, "--scenario", f"auth/{scenario}",
               "--spec-version", revision, timeout=90)
    report = done.stderr.decode()
    print(report)
    passed, checks = re.search(r"^Passed: (\d+)/(\d+), 0 failed, 0 warnings$", report,
                               re.MULTILINE).groups()
    assert passed == checks != "0"
