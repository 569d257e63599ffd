"""What output looks like on the wire: one module per format, all of them without I/O.

A module declares its formats in `FORMATS`; `registry` finds it there, and nothing else has to be
told of it. The standard library alone.
"""
