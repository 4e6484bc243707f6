"""The Resource Groups Tagging API: the tags of everything in an account and region, read and written in one place.

    service     the operations
    things      an ARN -> the service that keeps its tags, and how that one is asked

Reading (GetResources, GetTagKeys, GetTagValues) goes through what services say of themselves (``Service.tag_types``,
``Service.tagged``), page by page: one call looks at ``LOOKED_AT_COUNT_MAX`` things at most, so a page of a filter that
finds little may be short, or empty, and go on. Writing asks the service's own operations as the caller: IAM wants both
tag:TagResources and, say, sqs:TagQueue, as on AWS. Nothing is stored here.

Sources  https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/
Missing, refused by name: GetComplianceSummary, DescribeReportCreation, StartReportCreation, ListRequiredTags and the compliance
members of GetResources (there are no tag policies here). Things that never had a tag, or have none any more, are not listed; AWS
lists those that once had one. A key or value may come again on a later page of GetTagKeys and GetTagValues. GetResources by
ResourceARNList asks the services as the caller. IAM's users and roles are tagged and not listed, as on AWS, its other things are in us-east-1; stacks
are listed, but their tags change with the stack only.
"""

from stratolite.services.resourcegroupstaggingapi.service import (
    Resourcegroupstaggingapi as Resourcegroupstaggingapi,
)
