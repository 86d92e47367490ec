"""What a client can be asked, by the capabilities that it declares; and the tasks of two eras."""

from .messages import TASKS_EXTENSION, without_keys

# The request that asks a client → the capability that it must have declared.
NEEDS = {"sampling/createMessage": "sampling", "elicitation/create": "elicitation",
         "roots/list": "roots"}


def missing_capability(question, capabilities):
    """The capability that the question needs and the client has not; {} if there is none.

    >>> missing_capability({"method": "elicitation/create", "params": {"mode": "url"}},
    ...                    {"elicitation": {}})
    {'elicitation': {'url': {}}}
    """
    kind, params = NEEDS.get(question["method"]), question.get("params") or {}
    has, part = capabilities.get(kind), None
    if kind is None:
        return {}
    if not isinstance(has, dict):
        return {kind: {}}
    if kind == "sampling" and "tools" in params:
        part = "tools"
    elif kind == "elicitation":
        part = params.get("mode", "form")
        if part == "form" and "url" not in has or part not in ("form", "url"):
            part = None     # {} stands for forms alone
    return {kind: {part: {}}} if part and part not in has else {}


def without_tasks(capabilities):
    """The same without the extension of tasks, of which a legacy peer is not told."""
    extensions = capabilities.get("extensions")
    if not isinstance(extensions, dict) or TASKS_EXTENSION not in extensions:
        return capabilities
    return {**capabilities, "extensions": without_keys(extensions, TASKS_EXTENSION)}
