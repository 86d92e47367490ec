"""The form of an answer in this era: what a legacy server does not say, and clients must be told.

What a modern server has said stays as it is."""

from transports.fabric.messages import (INTERNAL_ERROR, INVALID_PARAMS, SERVER_INFO_KEY, dig,
                                        request, result, without_keys)

COMPLETE, INPUT_REQUIRED = "complete", "input_required"

# 2026-07-28, Caching, Cacheable Results.
CACHEABLE = {"server/discover", "tools/list", "prompts/list", "resources/list",
             "resources/templates/list", "resources/read"}
# In earlier revisions, and never in this one (2026-07-28, Error Codes):
NOT_FOUND = -32002      # of a resource
URL_REQUIRED = -32042   # the user must open URLs before the call can be made
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
    if dig(answer, "error", "code") == URL_REQUIRED:
        return {**answer, "error": {**answer["error"], "code": MISSING_CAPABILITY, "data": {
            "requiredCapabilities": {"elicitation": {"url": {}}}}}}
    return answer


def urls_to_open(answer):
    """{number: question} for what the user must open, by this error; {} if it says no such thing
    (2025-11-25, Elicitation, URL Elicitation Required Error)."""
    found = dig(answer, "error", "data", "elicitations")
    if dig(answer, "error", "code") != URL_REQUIRED or not isinstance(found, list) or not all(
            isinstance(dig(each, "url"), str) for each in found):
        return {}
    return {number: request("elicitation/create", {**each, "mode": "url"})
            for number, each in enumerate(found)}


def not_opened(answer):
    """The same error, for a user who was asked to open the URLs and did not."""
    if dig(answer, "error", "code") != URL_REQUIRED:
        return answer
    return {**answer, "error": {**without_keys(answer["error"], "data"), "code": INTERNAL_ERROR}}


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
