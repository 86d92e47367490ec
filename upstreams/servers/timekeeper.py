"""An MCP server for the time, because models do not know it: `python3 timekeeper.py`."""

from datetime import datetime, timezone
from zoneinfo import ZoneInfo, available_timezones

from serve import Problem, Server

server = Server("timekeeper", "Ask for the time here instead of guessing it.")


def zone_of(name):
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        if not available_timezones():   # as on Windows
            raise Problem("This Python has no time zones: install the package tzdata for it.")
        raise Problem(f"Unknown time zone: {name}. Use a name like Europe/Paris; the resource "
                      "time://zones has them all.")


@server.tool("The date and time now: here, and in UTC.")
def now(request):
    here = datetime.now().astimezone()
    utc = here.astimezone(timezone.utc)
    return f"{here:%A} {here.isoformat(timespec='seconds')}, UTC {utc:%Y-%m-%d %H:%M:%S}"


@server.tool("Convert a time between time zones.",
             time={"type": "string", "description": "ISO 8601, for example 2026-03-29T14:30"},
             source={"type": "string", "description": "the zone it is in, as Europe/Paris"},
             target={"type": "string", "description": "the zone to convert it to"})
def convert(request, time, source, target):
    source, target = zone_of(source), zone_of(target)
    try:
        moment = datetime.fromisoformat(time).replace(tzinfo=source)
        return moment.astimezone(target).isoformat(timespec="minutes")
    except (ValueError, OverflowError):
        raise Problem(f"{time!r} is no time as 2026-03-29T14:30.")


@server.tool("Wait, then return. Tells its progress ten times on the way, and can be cancelled.",
             seconds={"type": "number", "minimum": 0, "maximum": 3600})
def wait(request, seconds):
    seconds = min(max(float(seconds), 0), 3600)
    for tenth in range(1, 11):
        if request.cancelled.wait(seconds / 10):
            return "cancelled"
        request.progress(tenth, 10, f"{seconds * tenth / 10:g} of {seconds:g} seconds")
    return f"{seconds:g} seconds have passed."


@server.prompt("Find a time that suits people in several places.",
               places="the places, as Paris and Tokyo",
               duration="how long it will take (optional)")
def plan_meeting(places, duration="an hour"):
    return (f"Find three times next week when people in {places} could all meet for {duration} "
            "between 8:00 and 19:00 of their local time. Use the convert tool for each of them.")


@server.resource("time://zones", "The names of all time zones, one a line.")
def zones(uri):
    return "\n".join(sorted(available_timezones()))


if __name__ == "__main__":
    server.run()
