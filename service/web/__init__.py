"""All that depends on Sanic's insides: connections, requests, streams, TLS, workers."""
