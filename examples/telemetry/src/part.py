"""A share of a window: the aggregate of some of its sensors."""

from table import combined, intermediate


def handler(event, _context):
    aggregate = combined(intermediate(event["window"], set(event["sensors"])).values())
    return {name: str(value) if name != "count" else value for name, value in aggregate.items()}
