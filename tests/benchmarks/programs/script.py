"""`script.py PORT`: what people write instead: runs what is posted to it, and keeps nothing."""

import asyncio
import sys

from sanic import Sanic, json

app = Sanic("script", configure_logging=False)
app.config.ACCESS_LOG = False


@app.post("/")
async def run(request):
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        request.json["CommandLine"],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    answer = {"State": "exited", "ExitCode": process.returncode, "Output": output.decode()}
    return json(answer)


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), single_process=True, motd=False)
