"""CloudFormation's own types: Stack, CustomResource and Custom::*, WaitCondition and its handle, Macro."""

from __future__ import annotations

from stratolite.service import Resource
from stratolite.services.cloudformation.custom import (
    Custom,
    CustomResource,
    Handle,
    Macro,
    WaitCondition,
)
from stratolite.services.cloudformation.nested import Nested

RESOURCES: tuple[Resource, ...] = (
    Nested(),
    CustomResource(),
    Custom(),
    WaitCondition(),
    Handle(),
    Macro(),
)
