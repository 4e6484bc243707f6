"""S3: its operations by topic, put together, and the hook by which the gateway honours a bucket's CORS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from stratolite.core.dropping import Dropper
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Request, Resource, Route, Tagged, Worker
from stratolite.services.s3 import cors, restoring, state
from stratolite.services.s3.access import AccessRules
from stratolite.services.s3.access_logs import LogKeeper, log_refusal, logging_too
from stratolite.services.s3.analysis import Analyst, Tally
from stratolite.services.s3.annotations import Annotations
from stratolite.services.s3.batch import Batch
from stratolite.services.s3.bucket_settings import BucketSettings
from stratolite.services.s3.buckets import Buckets
from stratolite.services.s3.configuration import Configuration
from stratolite.services.s3.deleting import Deleting
from stratolite.services.s3.doors import Doors
from stratolite.services.s3.inventory import Reporter
from stratolite.services.s3.lifecycle import Expirer
from stratolite.services.s3.listing import Listing
from stratolite.services.s3.metadata_tables import DROP, MetadataTables
from stratolite.services.s3.metadata_worker import Recorder
from stratolite.services.s3.multipart import Multipart
from stratolite.services.s3.notifications import Deliverer, Notifications
from stratolite.services.s3.object_lock import ObjectLocks
from stratolite.services.s3.object_marks import ObjectMarks
from stratolite.services.s3.points import Points
from stratolite.services.s3.replication import Replicator
from stratolite.services.s3.rewrapping import Rewrapping
from stratolite.services.s3.selecting import Selecting
from stratolite.services.s3.table_buckets import TableBuckets, TableSweep
from stratolite.services.s3.worker import Sweep


class S3(
    AccessRules,
    Buckets,
    Multipart,
    Deleting,
    TableBuckets,
    ObjectMarks,
    ObjectLocks,
    Rewrapping,
    Annotations,
    Batch,
    Selecting,
    Listing,
    Configuration,
    BucketSettings,
    MetadataTables,
    Notifications,
    Points,
    Doors,
):
    """Multipart brings the operations on single objects (``objects``, ``copying``)."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.tally = Tally(cloud)

    name = "s3"
    hears_refusals = True
    HOOKS: ClassVar = ("cors",)
    """Public methods that are no operations: the gateway's."""

    # older names of requests that are the same on the wire, which knows them by the newer ones
    get_bucket_lifecycle = BucketSettings.get_bucket_lifecycle_configuration
    put_bucket_lifecycle = BucketSettings.put_bucket_lifecycle_configuration
    get_bucket_notification = Notifications.get_bucket_notification_configuration
    put_bucket_notification = Notifications.put_bucket_notification_configuration

    tag_types: ClassVar[tuple[str, ...]] = ("s3:bucket",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        for name, region in state.own_buckets(call.tx, call.account, "", after):
            bucket = state.bucket(call.tx, name)
            here = region == call.region and bucket is not None
            tags = state.config(call.tx, bucket, "tagging") if here and bucket else None
            yield Tagged(name, f"arn:aws:s3:::{name}", tags or {})

    def route(self, operation: str) -> Route:
        found = self._routes.get(operation)
        if found is None:
            found = super().route(operation)
            if not found.is_async:
                found = found._replace(method=logging_too(operation, found.method, self.tally))
            self._routes[operation] = found
        return found

    def refused(self, call: Call, operation: str, request: Request, fault: Fault) -> None:
        log_refusal(call, operation, request, fault)

    def workers(self) -> Iterable[Worker]:
        return (
            Sweep(self.cloud),
            TableSweep(self.cloud),
            Deliverer(self.cloud),
            Expirer(self.cloud),
            restoring.Expirer(self.cloud),
            Reporter(self.cloud),
            Replicator(self),
            LogKeeper(self.cloud),
            Recorder(self.cloud),
            Analyst(self.cloud, self.tally),
            Dropper(self.cloud.db, DROP),
        )

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.s3.grant_resources import GRANTING
        from stratolite.services.s3.resources import RESOURCES

        return RESOURCES + GRANTING

    def cors(
        self, call: Call, bucket: str, origin: str, method: str, headers: Mapping[str, str]
    ) -> list[tuple[str, str]]:
        """Headers to add to an S3 answer for a browser; for the gateway, with ``call.tx`` set.

        ``method`` is the request's; for a preflight OPTIONS, whose own method and headers stand in
        ``headers``. A request that no rule allows gets none (the browser then hides the answer); such a
        preflight raises Fault AccessForbidden (403).
        """
        preflight = method == "OPTIONS"
        asked = cors.asked_headers(headers)
        wanted = headers.get("access-control-request-method", "" if preflight else method)
        found = state.bucket(call.tx, bucket)
        rules = state.config(call.tx, found, "cors") if found is not None else None
        rule = cors.find(rules, origin, wanted, asked) if rules else None
        if rule is not None:
            return cors.headers(rule, origin, asked, preflight=preflight)
        if preflight:
            raise cors.refused(enabled=bool(rules), method=wanted)
        return []
