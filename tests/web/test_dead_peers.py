"""Clients that are gone without a word, behind a firewall that drops: in a network of the test's
own.
"""

import select
import shutil
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from service.web.dead_peers import is_dead, probe_when_silent

# Seconds. A client that reads nothing answers the kernel's first probes in less.
AFTER_S = 1.0


def connected():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    server.settimeout(0)
    return SimpleNamespace(get_extra_info=lambda _: server), server, client


def fill(server):
    """Until neither buffer takes more."""
    while True:
        try:
            server.send(bytes(65536))
        except BlockingIOError:
            return


def test_client_that_reads_nothing_is_not_dead():
    transport, server, client = connected()
    with server, client:
        probe_when_silent(transport)
        assert not is_dead(transport, after_s=0)
        fill(server)
        ends = time.monotonic() + AFTER_S
        while time.monotonic() < ends:
            assert not is_dead(transport, after_s=AFTER_S)
            select.select([], [], [], 0.1)


def test_no_connection_and_no_tcp_is_not_dead():
    ends = socket.socketpair()
    for peer in (None, ends[0]):
        transport = SimpleNamespace(get_extra_info=lambda _, peer=peer: peer)
        probe_when_silent(transport)
        assert not is_dead(transport, after_s=0)
    assert not is_dead(None)
    for end in ends:
        end.close()


def test_options_of_a_connection():
    transport, server, client = connected()
    with server, client:
        probe_when_silent(transport)
        assert server.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        idle_s, interval_s, probes = (server.getsockopt(socket.IPPROTO_TCP, n) for n in names)
        assert idle_s + interval_s * probes == 120
        assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0


def drop_and_look():
    """In a network namespace of its own: prints whether the client is dead, before and after."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    transport, server, client = connected()
    with server, client:
        probe_when_silent(transport)
        port = str(client.getsockname()[1])
        drop = ["iptables", "-A", "INPUT", "-p", "tcp", "--dport", port, "-j", "DROP"]
        subprocess.run(drop, check=True)
        server.send(b"into the void")
        sys.stdout.write(f"{is_dead(transport, after_s=AFTER_S)}\n")
        select.select([], [], [], AFTER_S + 0.1)
        sys.stdout.write(f"{is_dead(transport, after_s=AFTER_S)}\n")


def test_client_behind_a_firewall_that_drops_is_dead():
    if not all(map(shutil.which, ("unshare", "ip", "iptables"))):
        pytest.skip("needs unshare, ip and iptables")
    there = ["unshare", "--net", sys.executable, __file__]
    if subprocess.run(["unshare", "--net", "true"], check=False).returncode:
        pytest.skip("needs a network namespace")
    done = subprocess.run(there, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "True"], done.stderr


if __name__ == "__main__":
    drop_and_look()
