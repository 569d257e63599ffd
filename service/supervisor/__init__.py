"""The supervisor: parent of every command and reader of every pipe.

A process of its own on the standard library alone; it knows no HTTP and no SQL. `serve` puts it
together: `server` and `register` speak with the workers, `job/` drives one job each, `process/`
deals with the kernel, `upgrade` and `snapshot` hand everything over to the next image.
"""
