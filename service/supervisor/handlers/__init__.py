"""What the supervisor does on each message: a function per message type, in tables by topic.

A message is checked against its type before its function is called. Each function runs in one
callback of the loop.
"""
