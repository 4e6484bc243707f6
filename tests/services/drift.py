"""Whether a stack's resources are as its template says, asked as a user would."""

from __future__ import annotations

import time
from typing import Any


def drifted(cfn: Any, name: str) -> dict[str, Any]:
    """Logical id -> what differs, for those that do."""
    asked = cfn.detect_stack_drift(StackName=name)["StackDriftDetectionId"]
    end = time.time() + 120
    while time.time() < end:
        found = cfn.describe_stack_drift_detection_status(StackDriftDetectionId=asked)
        if found["DetectionStatus"] != "DETECTION_IN_PROGRESS":
            break
        time.sleep(0.02)
    assert found["DetectionStatus"] == "DETECTION_COMPLETE", found
    listed = cfn.describe_stack_resource_drifts(StackName=name)["StackResourceDrifts"]
    return {
        one["LogicalResourceId"]: one.get("PropertyDifferences")
        for one in listed
        if one["StackResourceDriftStatus"] not in ("IN_SYNC", "NOT_CHECKED")
    }
