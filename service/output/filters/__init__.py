"""What rewrites output for reading: bytes to bytes, incrementally, with bounded state, no I/O."""
