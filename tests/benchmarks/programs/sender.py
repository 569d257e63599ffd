"""`sender.py FILE`: prints a port, and answers each GET on one connection with all of the file.

The limit for who copies: pread, send, and nothing else.
"""

import os
import socket
import sys

PIECE_BYTES = 1 << 20


def main():
    descriptor = os.open(sys.argv[1], os.O_RDONLY)
    size = os.fstat(descriptor).st_size
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        peer, _ = listener.accept()
        while peer.recv(65536):
            peer.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
            at = 0
            while at < size:
                piece = os.pread(descriptor, PIECE_BYTES, at)
                peer.sendall(piece)
                at += len(piece)


main()
