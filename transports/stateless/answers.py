"""The form of an answer in this era: what a legacy server does not say, and clients must be told.

What a modern server has said stays as it is.
"""

from transports.fabric.messages import INVALID_PARAMS, SERVER_INFO_KEY, dig, result, without_keys

COMPLETE, INPUT_REQUIRED = "complete", "input_required"

# 2026-07-28, Caching, Cacheable Results.
CACHEABLE = {"server/discover", "tools/list", "prompts/list", "resources/list",
             "resources/templates/list", "resources/read"}
NOT_FOUND = -32002      # of a resource, in earlier revisions
MISSING_CAPABILITY = -32021     # 2026-07-28, MissingRequiredClientCapabilityError


def modern(answer, method, server_info):
    """An answer as this era has it; `server_info` is who has answered, if it does not say so."""
    if "error" in answer:
        return _modern_error(answer, method)
    value = answer["result"]
    if value.get("resultType", COMPLETE) != COMPLETE:
        return answer
    meta = value.get("_meta")
    meta = meta if isinstance(meta, dict) else {}
    if server_info and SERVER_INFO_KEY not in meta:
        meta = {**meta, SERVER_INFO_KEY: server_info}
    hints = {"ttlMs": 0, "cacheScope": "private"} if method in CACHEABLE else {}
    return {**answer, "result": {"resultType": COMPLETE, **hints, **value, "_meta": meta}}


def _modern_error(answer, method):
    if method == "resources/read" and dig(answer, "error", "code") == NOT_FOUND:
        return {**answer, "error": {**answer["error"], "code": INVALID_PARAMS}}
    return answer


def discovered(id, said, versions):
    """The answer to server/discover from the result of initialize that says the same."""
    capabilities = without_keys(said["capabilities"], "tasks")
    value = {"supportedVersions": versions, "capabilities": capabilities}
    if "instructions" in said:
        value["instructions"] = said["instructions"]
    return result(id, {**value, "_meta": {SERVER_INFO_KEY: said["serverInfo"]}})


def input_required(id, questions, state):
    """The answer that asks the client something (2026-07-28, Multi Round-Trip Requests)."""
    return result(id, {"resultType": INPUT_REQUIRED, "inputRequests": questions,
                       "requestState": state})
