"""Who may call: principals and scopes, tokens, the audit log, rate limits."""
