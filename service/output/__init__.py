"""The replayable output log: what a job's commands wrote, kept for any number of readers.

Two files per job. `output` has the bytes of both streams of all commands exactly as they came;
`runs` says how far they go and whose they are. One process writes (`writer`, `pump`), any number
of others read (`reader`, `cursor`) and follow (`watcher`, `subscription`).

An offset is a place in the file, or in one stream. It never changes its meaning, so a reader can
come back for the rest from any process at any time. A reader that lags is served from the disk
and costs the writer nothing.

The standard library alone: the supervisor imports it too.
"""
