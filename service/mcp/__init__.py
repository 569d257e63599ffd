"""A server of the Model Context Protocol: jobs for agents, as a thin layer on `AsyncClient`.

It keeps nothing between calls: a job's ID and an offset of its output say all. Each answer fits the
budget that the caller gave, and says what it leaves out. Only `server`, `stdio` and `http` load the
package `mcp`, which is an extra.
"""
