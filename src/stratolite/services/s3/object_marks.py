"""Tags and ACLs of objects, and what an archived object's restore asks for."""

from __future__ import annotations

from stratolite.service import Call, Request, Response
from stratolite.services.s3 import archive_rules, grants, names, replication_rules, versions
from stratolite.services.s3.entry import ENFORCED, acl_not_supported, check_acl, payload
from stratolite.services.s3.objects import Objects, touched
from stratolite.services.s3.restoring import restored
from stratolite.services.s3.state import Head


class ObjectMarks(Objects):
    def get_object_tagging(self, call: Call, request: Request) -> Response:
        found = self._found(call, request, of_tags=True)
        response: Response = {"TagSet": names.tag_set(dict(sorted(found.head.tags.items())))}
        if found.bucket.versioning:
            response["VersionId"] = versions.shown(found.head)
        return response

    def put_object_tagging(self, call: Call, request: Request) -> Response:
        tags = names.tags_of_set(payload(request, "Tagging").get("TagSet") or ())
        return self._set_tags(call, request, tags, "PUT", "ObjectTagging:Put")

    def delete_object_tagging(self, call: Call, request: Request) -> Response:
        return self._set_tags(call, request, {}, "DELETE", "ObjectTagging:Delete")

    def _set_tags(
        self, call: Call, request: Request, tags: dict[str, str], method: str, event: str
    ) -> Response:
        found = self._found(call, request, method)
        found.head.tags = tags
        if "replication" in found.bucket.on and found.head.version:
            replication_rules.note(call, found.bucket, found.key, found.head, modified=True)
        versions.save(call, found)
        touched(call, found.bucket, request["Key"], found.head, event)
        return {"VersionId": versions.shown(found.head)} if found.bucket.versioning else {}

    def get_object_acl(self, call: Call, request: Request) -> Response:
        bucket, _, head, _ = self._found(call, request)
        acl = acl_of(head)
        if bucket.ownership == ENFORCED:
            return grants.shown("private", bucket.account, bucket.account)
        return grants.shown(acl, head.more.get("owner", bucket.account), bucket.account)

    def put_object_acl(self, call: Call, request: Request) -> Response:
        found = self._found(call, request, "PUT")
        bucket, _, head, _ = found
        acl, given = request.get("ACL"), grants.of_headers(request)
        if "AccessControlPolicy" in request:
            if acl is not None or given is not None:
                raise grants.said_twice()
            holder = head.more.get("owner", bucket.account)
            given = grants.of_policy(request["AccessControlPolicy"], holder)
        if bucket.ownership == ENFORCED and acl != "bucket-owner-full-control":
            raise acl_not_supported()
        if acl is None and given is None:
            raise grants.missing()
        check_acl(call, bucket, acl, given)
        head.acl = acl or "private"
        head.more = {k: v for k, v in head.more.items() if k != "grants"}
        if given is not None:
            head.more["grants"] = given
        versions.save(call, found)
        touched(call, bucket, request["Key"], head, "ObjectAcl:Put")
        return {}

    def restore_object(self, call: Call, request: Request) -> Response:
        found = self._found(call, request)
        head = found.head
        wanted = request.get("RestoreRequest") or {}
        already = archive_rules.restore(call, head, wanted)
        versions.save(call, found)
        restored(call, found)
        return {"_status": 200} if already else {"_status": 202}


def acl_of(head: Head) -> grants.Acl:
    return head.more.get("grants") or head.acl
