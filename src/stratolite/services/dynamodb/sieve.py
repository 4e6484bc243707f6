"""What of a table a filtered export takes: the FilterSpecification of ExportTableToPointInTime.

Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Filtered.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stratolite.services.dynamodb import keyconditions
from stratolite.services.dynamodb.expressions import NO_VALUES, plan
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.projections import project
from stratolite.services.dynamodb.reading import check_key_conditions, matches
from stratolite.services.dynamodb.table import Table
from stratolite.services.dynamodb.values import Item

_LABELS = ("ProjectionExpression", "FilterExpression", "KeyConditionExpression")


class Sieve:
    """Its expressions, compiled. Raises ValidationException for one that means nothing on ``table``."""

    def __init__(self, table: Table, specification: Mapping[str, Any]) -> None:
        forms = plan(specification, _LABELS)
        self._values = specification.get("ExpressionAttributeValues") or NO_VALUES
        self._test, self._paths = forms.filter, forms.projection
        self._conditions: keyconditions.KeyConditions = {}
        if forms.key_condition is not None:
            found = keyconditions.from_expression(forms.key_condition, self._values)
            if len(found) > 2:
                raise invalid("Conditions can be of length 1 or 2 only")
            check_key_conditions(table.keys, found, None)
            self._conditions = found
            for key in table.keys:
                if key.name in forms.heads:
                    raise invalid(
                        "Filter Expression can only contain non-primary key attributes: "
                        f"Primary key attribute: {key.name}"
                    )
        if forms.nested:
            table.check_nested(forms.nested)

    def reads(self, item: Item) -> bool:
        """Whether its key is among those that are read, and billed."""
        return all(matches(item[name], one) for name, one in self._conditions.items())

    def takes(self, item: Item) -> bool:
        return self.reads(item) and (self._test is None or self._test(item, self._values))

    def cut(self, item: Item) -> Item:
        """What is exported of it."""
        return item if self._paths is None else project(item, self._paths)
