"""Who may call: principals and scopes, the tokens that prove them, what they did, how often."""
