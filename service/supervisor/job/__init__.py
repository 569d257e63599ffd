"""One job in the supervisor: its state machine, and what carries out the effects."""
