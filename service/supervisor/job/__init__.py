"""One job in the supervisor: the state machine (`phases`, `machine`) and what carries it out."""
