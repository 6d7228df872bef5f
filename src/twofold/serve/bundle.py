"""The page for people: files that are read when the server starts, so that no request reaches the file system."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import PurePath

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["PREFIX", "Asset", "answer_asset", "read_bundle"]

PREFIX = "/page/"
FRONT = "index.html"
KINDS = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
"""Named here, since the machine's own table of types may say otherwise."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file of the page."""

    content: bytes
    packed: bytes
    """The same, gzipped."""
    headers: dict[str, str]


@cache
def read_bundle() -> dict[str, Asset]:
    """Return the files of the page by the paths that they are asked for; the names of all but the first hold a hash."""
    folder = files("twofold.serve") / "page"
    if not folder.is_dir():
        return {}
    return {
        "/" if file.name == FRONT else PREFIX + file.name: _asset(file.name, file.read_bytes())
        for file in folder.iterdir()
        if file.is_file()
    }


def answer_asset(request: Request, asset: Asset) -> Response:
    """Return a file of the page, or word that the browser has it already."""
    if asset.headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=asset.headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.packed, headers={**asset.headers, "content-encoding": "gzip"})
    return Response(asset.content, headers=asset.headers)


def _asset(name: str, content: bytes) -> Asset:
    headers = {
        "content-type": KINDS[PurePath(name).suffix],
        "etag": f'W/"{hashlib.sha256(content).hexdigest()[:32]}"',
        "cache-control": "no-cache" if name == FRONT else "public, max-age=31536000, immutable",
        "vary": "accept-encoding",
        "content-security-policy": POLICY,
    }
    return Asset(content=content, packed=gzip.compress(content, mtime=0), headers=headers)
