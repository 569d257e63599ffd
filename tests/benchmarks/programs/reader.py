"""`reader.py PORT PATH`: GET it over a raw socket and print how many bytes of body came to its end.

For answers with a Content-Length.
"""

import socket
import sys


def main():
    port, path = int(sys.argv[1]), sys.argv[2]
    peer = socket.create_connection(("127.0.0.1", port), 60)
    peer.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += peer.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    at = head.lower().index(b"content-length:") + 15
    left = int(head[at:].split(b"\r\n", 1)[0])
    total, left = left, left - len(body)
    buffer = bytearray(512 << 10)
    while left > 0:
        got = peer.recv_into(buffer)
        if not got:
            break
        left -= got
    print(total - left)


main()
