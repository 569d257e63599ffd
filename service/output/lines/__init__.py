"""Lines of a log by place and by number: rows, the index of lines, and windows of them."""
