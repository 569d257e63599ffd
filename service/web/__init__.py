"""All that depends on Sanic's insides; the rest of the service uses its public names only.

Paid for by measurement: each of these would be simpler, or absent, if its benchmark
(`tests/benchmarks`) said so.

- `paused_gc` instead of a collector that runs during imports. Benchmark: `start`.
- `flag.Flag` instead of `asyncio.Event`. Benchmark: `attached`.
- `request.Request.forget_head` instead of headers that live as long as a stream does. Benchmark:
  `attached`.
- `server.Jobrunner.handle_request` instead of a middleware. Benchmark: `submit-1`.
- `streaming.StreamingResponse` writes its frames instead of Sanic's `send`. Benchmarks: `attach`,
  `replay`, `crowd`.
- `asyncio_compat.send_at_once` instead of asyncio's defaults: 40 ms less per short response on
  asyncio's own loop. The benchmarks run uvloop, which does the same by itself.
- `service.metrics.shared` instead of prometheus_client's own multiprocess values. Benchmark:
  `submit-1`.
"""
