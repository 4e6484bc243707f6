"""From a cut to objects in S3 or requests to an endpoint, and out of the buffer."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from typing import Any

import orjson

from stratolite.core import Tx
from stratolite.core.dropping import Dropper
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Job, Settle
from stratolite.services.firehose import (
    endpoint,
    error_logs,
    jobs,
    packing,
    prefixes,
    quotas,
    state,
)
from stratolite.services.firehose.children import ChildFailed
from stratolite.services.firehose.items import Failure, Item
from stratolite.services.firehose.state import Record, Ref, Row
from stratolite.services.firehose.streams import access_key
from stratolite.services.firehose.transformation import transformed

_log = logging.getLogger("stratolite.firehose")


def ref_and_call(cloud: Cloud, said: dict[str, Any]) -> tuple[Ref, Call]:
    ref = Ref(said["account"], said["region"], said["name"])
    return ref, cloud.call(ref.account, ref.region)


def known(tx: Tx, ref: Ref, stream_id: int) -> Record | None:
    """The stream, if it is still the one of that number."""
    stream = state.get_stream(tx, ref)
    return stream if stream and stream["id"] == stream_id else None


class Flush:
    queue, ordered, concurrency = jobs.FLUSH, False, 8

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        ref, call = ref_and_call(self._cloud, said)

        def settle(tx: Tx) -> None:
            inner = call.scoped(call.account, call.region)
            inner.tx = tx
            if known(tx, ref, said["id"]) is None:
                return
            gathered = state.gathering(tx, ref, said["id"])
            if gathered["number"] == said["number"] and gathered["records"]:
                after = jobs.cut(inner, ref, said["id"], gathered)
                state.put_gathering(tx, ref, said["id"], after)

        return settle


class Deliver:
    queue, ordered, concurrency = jobs.DELIVER, True, 4

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        ref, call = ref_and_call(self._cloud, said)
        stream_id, number = said["id"], said["number"]

        def look(tx: Tx) -> tuple[Record | None, Record | None]:
            return known(tx, ref, stream_id), state.get_cut(tx, ref, stream_id, number)

        stream, cut = await self._cloud.db.transact(look)
        if stream is None or cut is None:
            return None
        if not cut["done"]:
            try:
                await _Delivery(call, ref, stream, number, cut).run()
            except (Fault, ChildFailed) as error:
                _log.warning("firehose=%s waits to deliver: %r", ref.name, error)
                await error_logs.note(call, ref, stream, [_line(error)])
                return _again(call, ref, stream_id, number, cut)
            await self._cloud.db.transact(
                lambda tx: state.put_cut(tx, ref, stream_id, number, {**cut, "done": True})
            )

        def page(tx: Tx) -> bool:
            return state.clean_page(
                tx, ref, stream_id, cut["first"], cut["last"], quotas.CLEAN_ROWS
            )

        while await self._cloud.db.transact(page):
            pass

        def settle(tx: Tx) -> None:
            if known(tx, ref, stream_id) is None:
                return
            state.delete_cut(tx, ref, stream_id, number)
            gathered = state.gathering(tx, ref, stream_id)
            left = max(0, gathered["waiting"] - cut["bytes"])
            state.put_gathering(tx, ref, stream_id, {**gathered, "waiting": left})

        return settle


class _NotTaken(Fault):
    """An endpoint took nothing: the cut is tried again."""


def _line(error: Exception) -> error_logs.Line:
    if isinstance(error, _NotTaken):
        return error_logs.Line(error.code, error.message)
    code = error.code if isinstance(error, Fault) else "Processing.Failed"
    return error_logs.Line(f"S3.{code}", str(error))


def _again(call: Call, ref: Ref, stream_id: int, number: int, cut: Record) -> Settle:
    wait_s = min(quotas.RETRY_S_MAX, quotas.RETRY_S * 2 ** min(cut["attempts"], 10))

    def settle(tx: Tx) -> None:
        inner = call.scoped(call.account, call.region)
        inner.tx = tx
        if known(tx, ref, stream_id) is None:
            return
        state.put_cut(tx, ref, stream_id, number, {**cut, "attempts": cut["attempts"] + 1})
        jobs.deliver(inner, ref, stream_id, number, due_s=tx.time_s + wait_s)

    return settle


class _Delivery:
    """One cut's way. Running it again writes the same objects."""

    def __init__(self, call: Call, ref: Ref, stream: Record, number: int, cut: Record) -> None:
        self.call, self.ref, self.stream, self.number, self.cut = call, ref, stream, number, cut
        self.config: dict[str, Any] = stream["destination"]
        self.seed = f"{stream['id']}/{number}"
        self._roles: dict[str, Call] = {}

    async def run(self) -> None:
        """Raises Fault or ChildFailed when it must be tried again."""
        rows = await self._rows()
        is_http = self.stream["kind"] == "http"
        bucket = self.config["S3Configuration"] if is_http else self.config
        if self.config.get("S3BackupMode") in ("Enabled", "AllData"):
            backup = bucket if is_http else self.config["S3BackupConfiguration"]
            copies = [Item(row, row.data) for row in rows]
            await self._put(backup, copies, "backup", {}, metric="BackupToS3")
        items, failures = await transformed(self.call, self._as_role, self.ref, self.config, rows)
        if is_http:
            await self._to_endpoint(items, bucket)
        else:
            await self._to_s3(items, failures)
        for kind in sorted({failure.kind for failure in failures}):
            found = [failure for failure in failures if failure.kind == kind]
            await self._put_failures(bucket, found, kind)
        await self._note_failures(failures)

    async def _note_failures(self, failures: list[Failure]) -> None:
        """One line for each code and function."""
        lines = {(f.code, f.function): error_logs.Line(f.code, f.message, f.function) for f in failures}  # fmt: skip
        await error_logs.note(self.call, self.ref, self.stream, list(lines.values()))

    async def _rows(self) -> list[Row]:
        rows: list[Row] = []
        after: tuple[int, int] | None = (self.cut["first"], -1)
        while after is not None:
            place = after
            more, after = await self.call.cloud.db.transact(
                lambda tx: state.read_buffer(
                    tx, self.ref, self.stream["id"], place, self.cut["last"], quotas.READ_BYTES  # noqa: B023
                )
            )  # fmt: skip
            rows += more
        return rows

    async def _as_role(self, role: str) -> Call:
        """Raises Fault as sts AssumeRole does."""
        found = self._roles.get(role)
        if found is None:
            acting = await self.call.as_role(
                role, "firehose.amazonaws.com", self.ref.arn, self.ref.name.ljust(2, "_")
            )
            found = self._roles[role] = acting.scoped(acting.account, self.ref.region)
        return found

    # -- S3

    async def _to_s3(self, items: list[Item], failures: list[Failure]) -> None:
        prefix = self.config.get("Prefix", "")
        if not (self.config.get("DynamicPartitioningConfiguration") or {}).get("Enabled"):
            if items:
                await self._put(self.config, items, "", {})
            return
        needed = {
            space: prefixes.wanted_keys(prefix, space)
            for space in ("partitionKeyFromQuery", "partitionKeyFromLambda")
        }
        groups: dict[bytes, list[Item]] = {}
        for item in items:
            keys = {space: {k: item.keys.get(space, {}).get(k, "") for k in sorted(names)}
                    for space, names in needed.items()}  # fmt: skip
            if not all(value for found in keys.values() for value in found.values()):
                failures.append(
                    Failure(item.row, "DynamicPartitioning.PartitionKeyMissing", "A partition key of the prefix is missing.", 1)
                )  # fmt: skip
                continue
            at = orjson.dumps(keys, option=orjson.OPT_SORT_KEYS)
            if at not in groups and len(groups) >= quotas.PARTITIONS_MAX:
                code = "DynamicPartitioning.ActivePartitionsLimitExceeded"
                failures.append(
                    Failure(item.row, code, "Active partitions limit has been exceeded", 1)
                )
                continue
            groups.setdefault(at, []).append(item)
        for at, group in groups.items():
            await self._put(self.config, group, hashlib.sha256(at).hexdigest(), orjson.loads(at))

    async def _put(
        self,
        config: dict[str, Any],
        items: list[Item],
        part: str,
        keys: dict[str, Any],
        *,
        metric: str = "DeliveryToS3",
    ) -> None:
        """``items`` as one object; ``part`` tells it from the others of the cut."""
        seed = f"{self.seed}/{part}"
        conversion = config.get("DataFormatConversionConfiguration") or {}
        form = config["CompressionFormat"]
        extension = prefixes.EXTENSIONS[form]
        time_s = min(item.row.arrival_ms for item in items) / 1000
        if conversion.get("Enabled"):
            extension = f".{packing.form_of(conversion)}"
            records = [item.data for item in items]
            acting = await self._as_role(conversion["SchemaConfiguration"]["RoleARN"])
            columns = await packing.columns(acting, conversion)
            data, failed = await packing.converted(conversion, columns, records)
            failures = [
                Failure(items[index].row, "DataFormatConversion.ParseError", why, 1)
                for index, why in failed
            ]
            for outcome, count in (("Succeed", len(items) - len(failed)), ("Failed", len(failed))):
                self.ref.measure(self.call.cloud, f"{outcome}Conversion.Records", count)
            await self._put_failures(config, failures, "format-conversion-failed", part)
            if not data:
                return
        else:
            data = b"".join(item.data for item in items)
        name = prefixes.file_name(
            self.ref.name, self.stream["version"], self.cut["cut_s"], seed, config.get("FileExtension", extension)
        )  # fmt: skip
        if not conversion.get("Enabled"):
            data = await packing.compressed(form, data, name.removesuffix(".zip"))
        zone = prefixes.zone(config.get("CustomTimeZone"))
        key = prefixes.evaluated(config.get("Prefix", ""), time_s, zone, seed, keys=keys) + name
        await self._put_object(config, key, data, metric)
        self.ref.measure(self.call.cloud, f"{metric}.Records", len(items))

    async def _put_failures(
        self, config: dict[str, Any], failures: list[Failure], kind: str, part: str = ""
    ) -> None:
        if not failures:
            return
        seed = f"{self.seed}/{part}/{kind}"
        given = config.get("ErrorOutputPrefix") or ""
        zone = prefixes.zone(config.get("CustomTimeZone"))
        time_s = min(failure.row.arrival_ms for failure in failures) / 1000
        if not given and prefixes.has_expressions(config.get("Prefix", "")):
            given = f"{kind}/"
        prefix = prefixes.evaluated(
            given or config.get("Prefix", ""), time_s, zone, seed,
            error_type="" if given and not prefixes.has_expressions(given) else kind,
        )  # fmt: skip
        name = prefixes.file_name(
            self.ref.name, self.stream["version"], self.cut["cut_s"], seed, ""
        )
        body = b"".join(failure.line(self.cut["cut_s"]) for failure in failures)
        metric = "BackupToS3" if self.stream["kind"] == "http" else "DeliveryToS3"
        await self._put_object(config, prefix + name, body, metric)

    async def _put_object(self, config: dict[str, Any], key: str, data: bytes, metric: str) -> None:
        acting = await self._as_role(config["RoleARN"])
        ask: dict[str, Any] = {
            "Bucket": config["BucketARN"].rpartition(":")[2],
            "Key": key,
            "Body": data,
            "ContentType": "application/octet-stream",
        }
        if kms := config["EncryptionConfiguration"].get("KMSEncryptionConfig"):
            ask |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms["AWSKMSKeyARN"]}
        try:
            await acting.request("s3", "PutObject", ask)
        except Fault:
            self.ref.measure(self.call.cloud, f"{metric}.Success", 0)
            raise
        self._count_delivery(metric, len(data))

    def _count_delivery(self, metric: str, size: int) -> None:
        """https://docs.aws.amazon.com/firehose/latest/dev/monitoring-with-cloudwatch-metrics.html"""
        cloud, measure = self.call.cloud, self.ref.measure
        measure(cloud, f"{metric}.Success", 1)
        measure(cloud, f"{metric}.Bytes", size, "Bytes")
        age_s = self.call.world.cloud() - self.cut["since_s"]
        measure(cloud, f"{metric}.DataFreshness", max(0.0, age_s), "Seconds")

    # -- an endpoint

    async def _to_endpoint(self, items: list[Item], bucket: dict[str, Any]) -> None:
        """Until it takes them, for as long as the retry options say; then they go to S3."""
        if not items:
            return
        request_id = _uuid(self.seed)
        key = await self._access_key()
        failed = await endpoint.deliver(self.call, self.ref, self.config, key, request_id, items)
        cloud, metric = self.call.cloud, "DeliveryToHttpEndpoint"
        size = sum(len(item.data) for item in items)
        self.ref.measure(cloud, f"{metric}.ProcessedRecords", len(items))
        self.ref.measure(cloud, f"{metric}.ProcessedBytes", size, "Bytes")
        if failed is None:
            self._count_delivery(metric, size)
            self.ref.measure(cloud, f"{metric}.Records", len(items))
            return
        self.ref.measure(cloud, f"{metric}.Success", 0)
        retry_s = self.config["RetryOptions"].get("DurationInSeconds", 300)
        if self.call.world.cloud() - self.cut["cut_s"] < retry_s:
            raise _NotTaken(*failed)
        attempts = self.cut["attempts"] + 1
        failures = [Failure(item.row, *failed, attempts) for item in items]
        await self._put_failures(bucket, failures, "http-endpoint-failed")

    async def _access_key(self) -> str:
        """From the configuration, or from the secret it names, as a role. Raises Fault."""
        secret = self.config.get("SecretsManagerConfiguration") or {}
        if not secret.get("Enabled"):
            return access_key(self.call, self.stream)
        acting = await self._as_role(secret.get("RoleARN") or self.config["RoleARN"])
        found = await acting.request("secretsmanager", "GetSecretValue", {"SecretId": secret["SecretARN"]})  # fmt: skip
        try:
            return str(orjson.loads(found.get("SecretString") or "")["api_key"])
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            why = 'The secret is not of the form {"api_key": ...}.'
            raise Fault("InvalidArgumentException", why) from error


def _uuid(seed: str) -> str:
    raw = hashlib.sha256(seed.encode()).hexdigest()
    return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-8{raw[17:20]}-{raw[20:32]}"


def workers(cloud: Cloud) -> Iterable[Any]:
    return (Flush(cloud), Dropper(cloud.db, jobs.DROP), Deliver(cloud))
