"""A Sanic app that does nothing: what a start costs at the least."""

from sanic import Sanic, empty

app = Sanic("empty")


@app.get("/")
async def root(_request):
    return empty(200)
