"""A registry of images with one small image in it, which it gives away when it is told to."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Seconds: a fuse.
FUSE_S = 300.0

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Registry:
    """Docker takes any port of 127.0.0.1 for a registry that needs no TLS. Layers are given when
    `opened` is set; `asked` says that somebody waits for one.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.opened = threading.Event()
        layer = _layer()
        plain = hashlib.sha256(gzip.decompress(layer)).hexdigest()
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/echo", "pulled"]},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{plain}"]},
            }
        ).encode()
        self.layer = _digest(layer)
        self.blobs = {_digest(layer): layer, _digest(config): config}
        kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
        layers = [{"mediaType": kind, "size": len(layer), "digest": self.layer}]
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": {
                    "mediaType": "application/vnd.docker.container.image.v1+json",
                    "size": len(config),
                    "digest": _digest(config),
                },
                "layers": layers,
            }
        ).encode()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(with_body=True)

            def do_HEAD(self) -> None:
                self._answer(with_body=False)

            def _answer(self, *, with_body: bool) -> None:
                kind, content = registry.content(self.path)
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Docker-Content-Digest", _digest(content))
                self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
                self.end_headers()
                if with_body:
                    if self.path.endswith(registry.layer):
                        registry.asked.set()
                        registry.opened.wait(FUSE_S)
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def image(self) -> str:
        return f"127.0.0.1:{self.server.server_port}/some/image:1"

    def content(self, path: str) -> tuple[str, bytes]:
        if "/blobs/" in path:
            return "application/octet-stream", self.blobs[path.rpartition("/")[2]]
        if "/manifests/" in path:
            return _MANIFEST, self.manifest
        return "application/json", b"{}"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _layer() -> bytes:
    """A busybox that is called echo and sh."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(shutil.which("busybox") or "", "bin/busybox")
        for name in ("echo", "sh"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return packed.getvalue()


@contextmanager
def serving() -> Iterator[Registry]:
    """A registry that answers, until it is closed."""
    registry = Registry()
    thread = threading.Thread(target=registry.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        registry.opened.set()
        registry.server.shutdown()
        registry.server.server_close()
        thread.join(FUSE_S)
