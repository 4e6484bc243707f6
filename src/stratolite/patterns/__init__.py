"""Event patterns: which rules want this event?

    pattern = compile_pattern('{"source": ["aws.s3"], "detail": {"size": [{"numeric": [">", 100]}]}}')
    pattern.matches(event)                          # one rule
    rules = Patterns(); rules.add("rule-1", pattern); rules.match(event)       # many: {"rule-1"}

The language is the one of EventBridge, Pipes, Lambda's event filters and (a part of it) SNS's filter policies,
as AWS's open source event-ruler defines it: exact values, ``prefix`` ``suffix`` (both also with
``equals-ignore-case``) ``equals-ignore-case`` ``wildcard`` ``numeric`` ``cidr`` ``exists`` ``anything-but`` and
``$or``. Values of objects in one array must come from the same element. An event is a parsed JSON object.

``PatternError`` says what AWS says of a bad pattern, with the place in the text; the service puts its own words
before it. A pattern whose wildcards could make a matcher stand in too many places at once is refused as AWS
does; where exactly AWS draws that line is not documented, ours is ``wildcards.COMPLEXITY_MAX``.

Files  ``tokens`` JSON with positions; ``grammar`` text to conditions; ``conditions`` what a value must be;
       ``wildcards``; ``fields`` an event as paths and values; ``index`` many rules at once

Sources  https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
         https://github.com/aws/event-ruler
"""

from stratolite.patterns.index import Pattern as Pattern
from stratolite.patterns.index import Patterns as Patterns
from stratolite.patterns.index import compile_pattern as compile_pattern
from stratolite.patterns.tokens import PatternError as PatternError

__all__ = ["Pattern", "PatternError", "Patterns", "compile_pattern"]
