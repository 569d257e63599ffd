"""Commands for users, each a module of its own: they speak to the service through its client."""
