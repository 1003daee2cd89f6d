"""Fetching one file over HTTP: resumed where it broke off, checked before it gets its name."""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any

from reloc_ros import __version__
from reloc_ros.errors import DownloadError

Progress = Callable[[int, "int | None"], None]
"""Called with the bytes there are and how many there will be, None where the server does not say."""

PARTIAL = ".partial"
_CHUNK = 1 << 20
_TIMEOUT_S = 30.0  # without a byte
_REDIRECTS = 5
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Received:
    """What arrived: its hash, and the hash the server announced, if it did."""

    size: int
    sha256: str
    announced_sha256: str | None


def download(url: str, target: Path, *, size: int | None, sha256: str | None, progress: Progress) -> Received:
    """Fetch a file; `target` appears only when it is whole and right.

    What a broken connection left in `target` + ".partial" is continued, where the server can.

    Args:
        url: http or https.
        target: file to write; its folder exists.
        size: bytes it must have, None for any.
        sha256: hexadecimal digits its hash must begin with, None for any.
        progress: called as bytes arrive.

    Raises:
        DownloadError: no connection, an error of the server, a connection that broke off (what came is kept), or
            another size or hash than expected (what came is removed).
    """
    partial = target.with_name(target.name + PARTIAL)
    have = partial.stat().st_size if partial.is_file() else 0
    if have and have == size:
        return _accept(url, partial, target, size, sha256, None)
    try:
        response, announced = _open(url, have)
        with response:
            start = _start(response, have)
            total = _total(response.headers, start)
            if size is not None and total not in (None, size):
                partial.unlink(missing_ok=True)
                raise DownloadError(f"{url} has {total} bytes, {size} are expected; the file there was replaced")
            with partial.open("ab" if start else "wb") as file:
                have = _copy(response, file, start, total, progress)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            # Longer than the file on the server: not the beginning of it.
            partial.unlink()
            return download(url, target, size=size, sha256=sha256, progress=progress)
        raise DownloadError(
            f"{url}: the server says {error.code} {error.reason}; check the address or the mirror"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(
            f"{url} cannot be fetched ({error}); what came is kept: run the same command again to continue. Without a "
            f"network, fetch {url} elsewhere and put it at {target}"
        ) from error
    if total is not None and have < total:
        raise DownloadError(f"{url} broke off after {have} of {total} bytes; run the same command again to continue")
    return _accept(url, partial, target, size, sha256, announced)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _accept(
    url: str, partial: Path, target: Path, size: int | None, sha256: str | None, announced: str | None
) -> Received:
    """Give a whole file its name, or remove it when it is not the expected one."""
    found_size, found = partial.stat().st_size, hash_file(partial)
    for wanted, by_whom in ((sha256, "the table of reloc or an earlier download"), (announced, "the server")):
        if wanted is not None and not found.startswith(wanted):
            partial.unlink()
            raise DownloadError(
                f"what came from {url} has SHA-256 {found}; {by_whom} says {wanted}: it was removed. Try again; if it "
                "stays so, do not trust that server"
            )
    if size is not None and found_size != size:
        partial.unlink()
        raise DownloadError(f"{url} gave {found_size} bytes, {size} are expected: it was removed; try again")
    partial.replace(target)
    return Received(size=found_size, sha256=found, announced_sha256=announced)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves redirections to us: the hub announces the hash in the headers of one."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _open(url: str, start: int) -> tuple[http.client.HTTPResponse, str | None]:
    """Return the response from `start` on, and the SHA-256 announced on the way to it."""
    opener = urllib.request.build_opener(_NoRedirect)
    announced = None
    for _ in range(_REDIRECTS):
        if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
            raise DownloadError(f"{url!r} is no http or https address")
        request = urllib.request.Request(url, headers={"User-Agent": f"reloc_ros/{__version__}"})  # noqa: S310 - checked
        if start:
            request.add_header("Range", f"bytes={start}-")
        try:
            response: http.client.HTTPResponse = opener.open(request, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            location = error.headers.get("Location")
            if error.code not in {301, 302, 303, 307, 308} or not location:
                raise
            announced = announced or _announced(error.headers)
            url = urllib.parse.urljoin(url, location)
            error.close()
            continue
        return response, announced or _announced(response.headers)
    raise DownloadError(f"{url}: redirected more than {_REDIRECTS} times; check the address or the mirror")


def _announced(headers: Message) -> str | None:
    """Return the SHA-256 that Hugging Face's hub gives as the tag of large files; the tags of others are something else."""
    tag = (headers.get("X-Linked-Etag") or "").removeprefix("W/").strip('"')
    return tag if _SHA256.fullmatch(tag) else None


def _start(response: http.client.HTTPResponse, have: int) -> int:
    """Return where what comes belongs: after what there is, or at the beginning if the server cannot continue."""
    if response.status != http.client.PARTIAL_CONTENT:
        return 0
    span = response.headers.get("Content-Range") or ""
    if not span.startswith(f"bytes {have}-"):
        raise http.client.HTTPException(f"asked for bytes from {have} on, the server gave {span!r}")
    return have


def _total(headers: Message, start: int) -> int | None:
    length = headers.get("Content-Length")
    return None if length is None else start + int(length)


def _copy(response: IO[bytes], file: IO[bytes], have: int, total: int | None, progress: Progress) -> int:
    """Append what comes; return how many bytes the file has then."""
    progress(have, total)
    while chunk := response.read(_CHUNK):
        file.write(chunk)
        have += len(chunk)
        progress(have, total)
    return have
