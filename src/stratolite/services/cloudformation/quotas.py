"""AWS's own quotas of CloudFormation, and the bounds that protect us from a template.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
"""

from __future__ import annotations

TEMPLATE_BODY_BYTES_MAX = 51_200
TEMPLATE_URL_BYTES_MAX = 1_000_000
PARAMETERS_COUNT_MAX = 200
PARAMETER_VALUE_BYTES_MAX = 4_096
RESOURCES_COUNT_MAX = 500
OUTPUTS_COUNT_MAX = 200
MAPPINGS_COUNT_MAX = 200
DESCRIPTION_BYTES_MAX = 1_024
TRANSFORMS_COUNT_MAX = 10
STACK_POLICY_BYTES_MAX = 16_384
CUSTOM_RESPONSE_BYTES_MAX = 4_096
CUSTOM_TIMEOUT_S_MAX = 3_600
WAIT_TIMEOUT_S_MAX = 43_200
SIGNALS_COUNT_MAX = 1_000  # of one handle
SIGNAL_BYTES_MAX = 64 << 10
NESTED_DEPTH_MAX = 10
ROLLBACK_TRIGGERS_COUNT_MAX = 5
NOTIFICATION_ARNS_COUNT_MAX = 5
MONITORING_MINUTES_MAX = 180
TAGS_COUNT_MAX = 50
NODES_COUNT_MAX = 100_000  # of a parsed template
DEPTH_MAX = 100  # of nesting, in the text and in what functions resolve to
RESOLVED_BYTES_MAX = 1 << 20  # of one string a function makes
PROPERTIES_BYTES_MAX = 300_000  # of one resource, resolved: its row holds up to three versions
PARAMETERS_BYTES_MAX = 300_000  # of all values; the stack's row holds them twice during an update
OUTPUTS_BYTES_MAX = 200_000
VALUES_BYTES_MAX = 1_000_000  # of properties shown with a change set
REASON_LENGTH_MAX = 2_000

EVENTS_PAGE_COUNT = 100
RESOURCES_PAGE_COUNT = 100
STACKS_PAGE_COUNT = 100
CHANGE_SETS_PAGE_COUNT = 100
DETECTIONS_KEPT = 10  # of a stack
EXPORTS_PAGE_COUNT = 100

DELETED_KEPT_S = 90 * 86_400  # ListStacks still shows a deleted stack
ANSWER_WAIT_S = 1.0  # an operation that ends within this is answered when it has ended
STACKS_AT_ONCE_MAX = 256  # one may wait for hours: for a signal, for a custom resource
STEPS_AT_ONCE_MAX = 32
STABILISE_S_FIRST = 0.02  # grows by half with every question
STABILISE_S_MAX = 5.0
MONITOR_EVERY_S = 2.0  # alarms of rollback triggers are looked at

TEMPLATE_CHUNK_BYTES = 900_000

SAM_IDLE_S = 60.0  # the translator's child is kept this long
SAM_TIME_S_MAX = 30.0
SAM_MEMORY_BYTES_MAX = 300 << 20  # of address space; 63 MB are used for 150 functions
SAM_ANSWER_BYTES_MAX = 16 << 20
