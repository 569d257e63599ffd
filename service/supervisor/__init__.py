"""The supervisor: parent of every command and reader of every pipe.

A process of its own on the standard library alone; it knows no HTTP and no SQL. Run side:
`__main__`, `server`, `register`, `job`, `course`, `spawn`, `reaper`, `tree`. Service side: `client`
and `launch`. Both read `protocol`.
"""
