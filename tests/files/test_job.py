"""Where the files of a job are, and where its commands work."""

import pytest

from service.files.job import JobFiles

FILES = JobFiles("/s/jobs/id", "/s/logs/id")


@pytest.mark.parametrize(
    ("parts", "path", "beneath"),
    [
        ((), "/s/jobs/id/work", "."),
        ((None, None), "/s/jobs/id/work", "."),
        (("a", None), "/s/jobs/id/work/a", "a"),
        (("a", "./b/"), "/s/jobs/id/work/a/b", "a/b"),
        (("/data", "b"), "/data/b", None),
        (("a", "/data"), "/data", None),
        (("/s/jobs/id/workshop",), "/s/jobs/id/workshop", None),
    ],
)
def test_a_command_works_in_the_jobs_directory_unless_a_path_is_absolute(parts, path, beneath):
    assert FILES.working_directory(*parts) == path
    assert FILES.beneath_work(path) == beneath
