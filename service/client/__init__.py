"""The service's Python client: the same verbs as the API."""
