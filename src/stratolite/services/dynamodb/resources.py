"""AWS::DynamoDB::Table."""

from __future__ import annotations

from stratolite.service import Resource


class TableResource(Resource):
    type = "AWS::DynamoDB::Table"
