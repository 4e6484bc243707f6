"""What the platform's services did, gathered in memory by the minute and given to CloudWatch a few seconds later.

    cloud.metrics.count(account, region, "AWS/SQS", (("QueueName", "q"),), "NumberOfMessagesSent")
    cloud.metrics.count(..., "Duration", 12.5, "Milliseconds")

A few dictionary look-ups, so that services may call it from their transactions; one that runs again after a
lost race is counted again. Not written yet is lost with a crash: ``cloudwatch:metrics`` in ``limits.RELAXED``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from stratolite.errors import Fault, Unavailable
from stratolite.limits import METRICS_EVERY_S, METRICS_HELD_MAX
from stratolite.service import Call, Cloud, Principal

Dimensions = tuple[tuple[str, str], ...]
_Key = tuple[str, str, str, Dimensions, str, str, int]
_VALUES_MAX = 100  # different ones of a minute, beyond which only their statistics are kept
_DATA_MAX = 200  # a call
_MINUTE_S = 60


class _Held:
    __slots__ = ("count", "high", "low", "total", "values")

    def __init__(self, value: float, times: int) -> None:
        self.count, self.total, self.low, self.high = times, value * times, value, value
        self.values: dict[float, int] | None = {value: times}

    def add(self, value: float, times: int) -> None:
        self.count += times
        self.total += value * times
        if value < self.low:
            self.low = value
        elif value > self.high:
            self.high = value
        values = self.values
        if values is not None:
            values[value] = values.get(value, 0) + times
            if len(values) > _VALUES_MAX:
                self.values = None


class Metrics:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._held: dict[_Key, _Held] = {}
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._closed = False
        self._beside: list[Callable[[], Awaitable[None]]] = []

    def beside(self, flush: Callable[[], Awaitable[None]]) -> None:
        """Have ``flush`` called wherever the metrics are flushed: when the server stops."""
        self._beside.append(flush)

    def count(
        self,
        account: str,
        region: str,
        namespace: str,
        dimensions: Dimensions,
        name: str,
        value: float = 1.0,
        unit: str = "Count",
        times: int = 1,
    ) -> None:
        """One sample, or so many of the same value. ``dimensions`` in the order of their names."""
        minute = int(self._cloud.world.cloud()) // _MINUTE_S
        key = (account, region, namespace, dimensions, name, unit, minute)
        held = self._held.get(key)
        if held is not None:
            held.add(value, times)
        elif len(self._held) < METRICS_HELD_MAX and not self._closed:
            self._held[key] = _Held(value, times)
            if self._task is None:
                loop = asyncio.get_running_loop()
                self._task = loop.create_task(self._soon(), name="metrics")

    async def _soon(self) -> None:
        await self._cloud.world.sleep(METRICS_EVERY_S)
        self._task = None
        await self.flush()

    async def flush(self) -> None:
        """Write what is held now; what another flush has taken is written, too, when this returns."""
        async with self._writing:
            await self._write()
        for flush in self._beside:
            await flush()

    async def _write(self) -> None:
        held, self._held = self._held, {}
        places: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for (account, region, namespace, dimensions, name, unit, minute), one in held.items():
            datum: dict[str, Any] = {
                "MetricName": name,
                "Dimensions": [{"Name": n, "Value": v} for n, v in dimensions],
                "Timestamp": float(minute * _MINUTE_S),
                "Unit": unit,
            }
            if one.values is not None:
                datum["Values"] = list(one.values)
                datum["Counts"] = [float(n) for n in one.values.values()]
            else:
                datum["StatisticValues"] = {
                    "SampleCount": float(one.count),
                    "Sum": one.total,
                    "Minimum": one.low,
                    "Maximum": one.high,
                }
            places.setdefault((account, region, namespace), []).append(datum)
        for (account, region, namespace), data in places.items():
            call = self._call(account, region, namespace)
            for at in range(0, len(data), _DATA_MAX):
                request = {"Namespace": namespace, "MetricData": data[at : at + _DATA_MAX]}
                try:
                    await call.request("cloudwatch", "PutMetricData", request)
                except (Fault, Unavailable):
                    return  # relaxed: this suffix is lost, and nothing else

    def _call(self, account: str, region: str, namespace: str) -> Call:
        name = f"{namespace.rpartition('/')[2].lower()}.amazonaws.com"
        arn = f"arn:aws:iam::{account}:service/{name}"
        who = Principal("service", account, arn, name=name, source_account=account)
        return self._cloud.call(account, region, "metrics", who)

    async def close(self) -> None:
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            self._task = None
        await self.flush()
