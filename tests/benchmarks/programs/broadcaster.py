"""`broadcaster.py READERS LINES INTERVAL_S`: on uvloop, what `stamps.py` writes to all who connect.

Prints its port. The lines begin when so many are there and one has sent a byte. The limit for anything that passes one
stream on to many: one read, and one write to each.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import uvloop


class Peer(asyncio.Protocol):
    """One who listens."""

    all = frozenset()
    was_told = False
    begin = None

    def connection_made(self, transport):
        self.transport = transport
        Peer.all = Peer.all | {transport}
        Peer.begin()

    def data_received(self, _data):
        Peer.was_told = True
        Peer.begin()

    def connection_lost(self, _exc):
        Peer.all = Peer.all - {self.transport}


class Pipe(asyncio.Protocol):
    """What is passed on."""

    def data_received(self, data):
        for transport in Peer.all:
            transport.write(data)

    def connection_lost(self, _exc):
        for transport in Peer.all:
            transport.close()


async def main():
    loop = asyncio.get_running_loop()
    readers, *arguments = sys.argv[1:]
    argv = [sys.executable, "-I", "-S", str(Path(__file__).with_name("stamps.py")), *arguments]
    over = loop.create_future()

    def begin():
        if over.done() or not Peer.was_told or len(Peer.all) < int(readers):
            return
        source = subprocess.Popen(argv, stdout=subprocess.PIPE)
        pipe = loop.connect_read_pipe(Pipe, source.stdout)
        over.set_result((source, loop.create_task(pipe)))

    Peer.begin = begin
    server = await loop.create_server(Peer, "127.0.0.1", 0, backlog=2000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await over
    await asyncio.Event().wait()


uvloop.run(main())
