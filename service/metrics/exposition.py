"""The series of all workers as text, in the requested format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

import service
from service.jobs.states import State
from service.metrics.series import Metrics
from service.metrics.shared import forget_dead


@dataclass(frozen=True, eq=False)  # registries hash their collectors
class Stored(Collector):
    """Gauges read from the records and the file system for one scrape."""

    jobs: Mapping[State, int]
    disk_bytes: int
    with_leftovers: int = 0
    with_kept: int = 0
    free_bytes: int = 0
    free_inodes: int | None = None  # where they are counted
    is_draining: bool = False

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("jobrunner_jobs", "Jobs in each state.", labels=["state"])
        for state, count in self.jobs.items():
            jobs.add_metric([state.value], count)
        yield jobs
        yield GaugeMetricFamily(
            "jobrunner_finished_disk_bytes",
            "What the files of finished jobs take on the disk.",
            value=self.disk_bytes,
        )
        yield GaugeMetricFamily(
            "jobrunner_jobs_with_leftovers",
            "Jobs that were to be cleaned, and of which a file can't be removed.",
            value=self.with_leftovers,
        )
        yield GaugeMetricFamily(
            "jobrunner_jobs_with_kept_processes",
            'Finished jobs that have left processes running (`"Background": "keep"`).',
            value=self.with_kept,
        )
        yield GaugeMetricFamily(
            "jobrunner_free_bytes",
            "Bytes that are free where the state directory is.",
            value=self.free_bytes,
        )
        if self.free_inodes is not None:
            yield GaugeMetricFamily(
                "jobrunner_free_inodes",
                "Inodes that are free where the state directory is.",
                value=self.free_inodes,
            )
        yield GaugeMetricFamily(
            "jobrunner_draining",
            "1 while the service drains: it takes no new job, and starts none that is pending.",
            value=int(self.is_draining),
        )
        build = GaugeMetricFamily(
            "jobrunner_build_info", "The release that answers.", labels=["version"]
        )
        build.add_metric([service.__version__], 1)
        yield build


def exposition(metrics: Metrics, stored: Stored, accept: str) -> tuple[bytes, str]:
    """The text and its content type. From any thread."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(stored)
    if metrics.slot is None:
        registry.register(metrics.registry)
    else:
        forget_dead(metrics.slot.directory)
        MultiProcessCollector(registry, str(metrics.slot.directory))  # type: ignore[no-untyped-call]
    try:
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type
    except (ValueError, TypeError):  # an Accept header with an invalid version
        return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4
