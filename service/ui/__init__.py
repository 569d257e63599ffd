"""The page: HTML for people, at the same URLs as the API, and the static files that it loads.

Values in, text and bytes out: the routes in `service.api` know requests and jobs.
"""
