"""`jobrunner cp`: copies files into a job's directory, and out of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

import click

from service.cli.jobs import job_of
from service.cli.packing import packed, unpack
from service.cli.places import Place, place_of
from service.cli.target import client, connection_options
from service.client.sync_client import Job

_HELP = """Copy files between this host and a job's directory, before, during and after its run.

One of the two is JOB:PATH, and the other a path here, or - for standard input or output.
Directories are copied with all that is in them, and permissions stay. What is copied onto a
directory goes into it; DIR/. is what is in DIR. With - a directory is a tar.

\b
Examples:
  jobrunner cp data.csv train:              # to the job's directory
  jobrunner cp train:out/model.bin .        # from there
  jobrunner cp src/. train:src              # what is in src
  jobrunner cp train:out - | tar t
  make-input | jobrunner cp - train:in/data # a file
  tar c . | jobrunner cp --extract - train: # what is in the tar

Exit status: 0 when all was copied; 125 when it couldn't be; 2 for wrong usage.
"""


@click.command("cp", help=_HELP, short_help="copy files into a job's directory, and out of it")
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@click.option("-x", "--extract", is_flag=True, help="Standard input is a tar: unpack it.")
@connection_options
def command(*, source: str, target: str, extract: bool) -> None:
    begin, end = place_of(source), place_of(target)
    if (begin.job is None) is (end.job is None):
        raise click.UsageError("Expected one of both to be JOB:PATH, and the other a path here.")
    if extract and not begin.is_standard:
        raise click.UsageError("Expected - as the source, of which --extract unpacks a tar.")
    if begin.job is not None:
        _out(job_of(client(), begin.job), begin, end)
    else:
        assert end.job is not None  # noqa: S101 - one of both is
        _in(job_of(client(), end.job), begin, end, extract=extract)


def _out(job: Job, begin: Place, end: Place) -> None:
    is_directory = job.files.is_directory(begin.inner)
    if not is_directory:  # or there is nothing, which the service tells
        _file_out(job, begin, end)
    elif end.is_standard:
        _write_out(job.files.archive(begin.inner))
    else:
        _directory_out(job, begin, end)


def _file_out(job: Job, begin: Place, end: Place) -> None:
    if end.is_standard:
        _write_out(job.files.stream(begin.inner))
        return
    path = end.path
    if os.path.isdir(path) or end.is_into:
        path = os.path.join(path, begin.name)
    with job.files.stream(begin.inner) as pieces:
        first = next(pieces, b"")  # before a file is made here
        with open(path, "wb") as file:
            file.write(first)
            file.writelines(pieces)


def _directory_out(job: Job, begin: Place, end: Place) -> None:
    path = end.path
    if os.path.isdir(path) and not begin.is_contents:
        path = os.path.join(path, begin.name)
    os.makedirs(path, exist_ok=True)
    with job.files.archive(begin.inner) as pieces:
        unpack(pieces, path)


def _in(job: Job, begin: Place, end: Place, *, extract: bool) -> None:
    if extract:
        job.files.extract(sys.stdin.buffer, end.inner)
    elif begin.is_standard:
        if end.is_into:
            raise click.UsageError("Expected the path of a file: standard input has no name.")
        job.files.write(end.inner, sys.stdin.buffer)
    elif os.path.isdir(begin.path):
        into = end.inner
        if not begin.is_contents and job.files.is_directory(end.inner):
            into = end.below(begin.name).inner
        job.files.extract(packed(begin.path), into)
    else:
        _file_in(job, begin, end)


def _file_in(job: Job, begin: Place, end: Place) -> None:
    into = end.inner
    if end.is_into or job.files.is_directory(into):
        into = end.below(begin.name).inner
    with open(begin.path, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        job.files.write(into, file, mode=mode)


def _write_out(pieces: Iterable[bytes]) -> None:
    out = sys.stdout.buffer
    for piece in pieces:
        out.write(piece)
    out.flush()
