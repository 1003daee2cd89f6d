"""`reloc weights`, against a server on this machine that can break in every way a download breaks."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from reloc_ros.cli.main import main
from reloc_ros.training import fetch_weights
from reloc_ros.training.official_weights import CHECKPOINTS, Checkpoint, WeightFile

WEIGHTS = bytes(range(256)) * 40_000  # ten megabytes: many chunks
CONFIG = b'{"model_type": "tiny"}\n'
HOST = "https://official.example"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `bodies`; each fault is switched on by a test."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies = {"/tiny/weights.bin": WEIGHTS, "/tiny/config.json": CONFIG}
        self.asked: list[tuple[str, str | None]] = []
        self.cut_after: int | None = None
        self.resumes = True
        self.wrong_range = False
        self.announces: str | None = None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: they are meant to."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_GET(self) -> None:
        span = self.headers.get("Range")
        self.server.asked.append((self.path, span))
        if self.path.startswith("/loop"):
            self.redirect(self.path)
            return
        path = self.path.removeprefix("/store")
        body = self.server.bodies.get(path)
        if body is None:
            self.send_error(404)
        elif self.server.announces is not None and self.path.startswith("/tiny") and path.endswith(".bin"):
            self.redirect(f"/store{path}", self.server.announces)
        else:
            self.give(body, span)

    def redirect(self, target: str, tag: str | None = None) -> None:
        self.send_response(302)
        self.send_header("Location", target)
        if tag is not None:
            self.send_header("X-Linked-Etag", f'"{tag}"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def give(self, body: bytes, span: str | None) -> None:
        start = int(re.fullmatch(r"bytes=(\d+)-", span)[1]) if span and self.server.resumes else 0
        if start > len(body) or (start and start == len(body)):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            claimed = start + 1 if self.server.wrong_range else start
            self.send_header("Content-Range", f"bytes {claimed}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : self.server.cut_after])

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def plant(monkeypatch: pytest.MonkeyPatch, **weights: Any) -> None:
    """Put a checkpoint "tiny" into the table; `weights` are size and sha256 of its large file."""
    known = {"size": len(WEIGHTS), "sha256": sha256(WEIGHTS)} | weights
    files = (
        WeightFile(name="config.json", url=f"{HOST}/tiny/config.json", size=len(CONFIG), sha256=sha256(CONFIG)),
        WeightFile(name="weights.bin", url=f"{HOST}/tiny/weights.bin", **known),
    )
    tiny = Checkpoint(what="a test", licence="Tiny-1.0", licence_url="https://t.example", megabytes=10, files=files)
    monkeypatch.setattr(fetch_weights, "CHECKPOINTS", {"tiny": tiny})


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, size=None, sha256=None)


def fetch(server: Server, folder: Path) -> int:
    return main(["weights", "fetch", "tiny", "--to", str(folder), "--mirror", server.url])


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


WHOLE = {"config.json", "weights.bin", "weights.lock.json"}


@pytest.mark.usefixtures("known")
def test_a_checkpoint_is_fetched_once(server, tmp_path, capsys):
    folder = tmp_path / "deep" / "tiny"
    assert fetch(server, folder) == 0
    out = capsys.readouterr().out
    assert out.index("licence: Tiny-1.0, see https://t.example") < out.index("weights.bin: fetched")
    assert f"10240000 bytes, SHA-256 {sha256(WEIGHTS)}, held against the hash in reloc's table" in out
    assert (folder / "weights.bin").read_bytes() == WEIGHTS
    assert (folder / "config.json").read_bytes() == CONFIG
    assert files_in(folder) == WHOLE
    recorded = json.loads((folder / "weights.lock.json").read_text())["files"]["weights.bin"]
    assert recorded == {"url": f"{HOST}/tiny/weights.bin", "size": len(WEIGHTS), "sha256": sha256(WEIGHTS)}

    asked = len(server.asked)
    assert fetch(server, folder) == 0
    assert len(server.asked) == asked
    assert "weights.bin: was there" in capsys.readouterr().out


@pytest.mark.usefixtures("known")
def test_the_mirror_may_come_from_the_environment(server, tmp_path, monkeypatch):
    monkeypatch.setenv("RELOC_WEIGHTS_MIRROR", server.url + "/")
    monkeypatch.chdir(tmp_path)
    assert main(["weights", "fetch", "tiny"]) == 0
    assert files_in(tmp_path / "weights" / "tiny") == WHOLE


@pytest.mark.usefixtures("known")
def test_a_corrupt_body_is_refused_and_removed(server, tmp_path, capsys):
    server.bodies["/tiny/weights.bin"] = WEIGHTS[:-1] + b"x"
    assert fetch(server, tmp_path) == 2
    message = capsys.readouterr().err
    assert sha256(WEIGHTS) in message
    assert "it was removed" in message
    assert files_in(tmp_path) == {"config.json", "weights.lock.json"}


@pytest.mark.usefixtures("known")
def test_a_broken_connection_is_continued_where_it_broke_off(server, tmp_path, capsys):
    server.cut_after = 3_000_000
    assert fetch(server, tmp_path) == 2
    assert "after 3000000 of 10240000 bytes; run the same command again" in capsys.readouterr().err
    assert files_in(tmp_path) == {"config.json", "weights.lock.json", "weights.bin.partial"}
    server.cut_after = None
    assert fetch(server, tmp_path) == 0
    assert server.asked[-1] == ("/tiny/weights.bin", "bytes=3000000-")
    assert (tmp_path / "weights.bin").read_bytes() == WEIGHTS
    assert files_in(tmp_path) == WHOLE


@pytest.mark.usefixtures("known")
def test_a_server_that_cannot_continue_starts_again(server, tmp_path):
    (tmp_path / "weights.bin.partial").write_bytes(b"from another time")
    server.resumes = False
    assert fetch(server, tmp_path) == 0
    assert (tmp_path / "weights.bin").read_bytes() == WEIGHTS


@pytest.mark.usefixtures("known")
def test_a_wrong_beginning_does_not_get_into_the_file(server, tmp_path, capsys):
    (tmp_path / "weights.bin.partial").write_bytes(b"from another time")
    assert fetch(server, tmp_path) == 2
    assert "it was removed" in capsys.readouterr().err
    assert fetch(server, tmp_path) == 0


@pytest.mark.usefixtures("known")
def test_a_server_that_continues_elsewhere_is_refused(server, tmp_path, capsys):
    (tmp_path / "weights.bin.partial").write_bytes(WEIGHTS[:1000])
    server.wrong_range = True
    assert fetch(server, tmp_path) == 2
    assert "asked for bytes from 1000 on, the server gave 'bytes 1001-" in capsys.readouterr().err


@pytest.mark.usefixtures("unknown")
def test_a_beginning_longer_than_the_file_is_given_up(server, tmp_path):
    (tmp_path / "weights.bin.partial").write_bytes(WEIGHTS + b"and more")
    assert fetch(server, tmp_path) == 0
    assert (tmp_path / "weights.bin").read_bytes() == WEIGHTS


@pytest.mark.usefixtures("known")
def test_a_whole_file_without_its_name_needs_no_server(server, tmp_path):
    (tmp_path / "weights.bin.partial").write_bytes(WEIGHTS)
    assert fetch(server, tmp_path) == 0
    assert [path for path, _ in server.asked] == ["/tiny/config.json"]


@pytest.mark.usefixtures("known")
def test_a_missing_file_is_said_with_its_address(server, tmp_path, capsys):
    del server.bodies["/tiny/weights.bin"]
    assert fetch(server, tmp_path) == 2
    assert f"{server.url}/tiny/weights.bin: the server says 404 Not Found" in capsys.readouterr().err


@pytest.mark.usefixtures("known")
def test_without_a_network_it_says_where_the_file_goes(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    assert main(["weights", "fetch", "tiny", "--to", str(tmp_path), "--mirror", f"http://127.0.0.1:{port}"]) == 2
    message = capsys.readouterr().err
    assert "/tiny/config.json cannot be fetched" in message
    assert f"put it at {tmp_path / 'config.json'}" in message


@pytest.mark.usefixtures("known")
def test_a_file_put_there_by_hand_is_taken_if_it_is_the_right_one(server, tmp_path, capsys):
    (tmp_path / "config.json").write_bytes(CONFIG)
    (tmp_path / "weights.bin").write_bytes(WEIGHTS)
    assert fetch(server, tmp_path) == 0
    assert server.asked == []
    (tmp_path / "weights.bin").write_bytes(b"other")
    assert fetch(server, tmp_path) == 2
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "weights.bin").read_bytes() == b"other"


def test_another_size_is_refused_before_it_is_fetched(server, tmp_path, capsys, monkeypatch):
    plant(monkeypatch, size=len(WEIGHTS) - 7)
    assert fetch(server, tmp_path) == 2
    assert "has 10240000 bytes, 10239993 are expected" in capsys.readouterr().err


@pytest.mark.usefixtures("unknown")
def test_the_hash_that_the_server_announces_is_held_against_the_file(server, tmp_path, capsys):
    server.announces = sha256(WEIGHTS)
    assert fetch(server, tmp_path) == 0
    assert "held against the hash that the server itself announces" in capsys.readouterr().out
    (tmp_path / "weights.bin").unlink()
    (tmp_path / "weights.lock.json").unlink()
    server.announces = "0" * 64
    assert fetch(server, tmp_path) == 2
    assert "the server says 000000" in capsys.readouterr().err
    assert files_in(tmp_path) == {"config.json", "weights.lock.json"}


@pytest.mark.usefixtures("unknown")
def test_without_a_published_hash_the_first_fetch_is_recorded_and_said_so(server, tmp_path, capsys):
    assert fetch(server, tmp_path) == 0
    assert "weights.bin: fetched" in (out := capsys.readouterr().out)
    assert "held against nothing: no hash is published" in out
    (tmp_path / "weights.bin").unlink()
    server.bodies["/tiny/weights.bin"] = WEIGHTS[::-1]
    assert fetch(server, tmp_path) == 2
    assert f"an earlier download says {sha256(WEIGHTS)}" in capsys.readouterr().err
    server.bodies["/tiny/weights.bin"] = WEIGHTS
    assert fetch(server, tmp_path) == 0
    assert "held against the hash recorded in weights.lock.json" in capsys.readouterr().out


def test_the_beginning_of_a_hash_is_held_against_the_file(server, tmp_path, capsys, monkeypatch):
    plant(monkeypatch, size=None, sha256=sha256(WEIGHTS)[:8])
    assert fetch(server, tmp_path) == 0
    assert "held against the beginning of the hash that torchvision" in capsys.readouterr().out
    plant(monkeypatch, size=None, sha256="12345678")
    (tmp_path / "weights.bin").unlink()
    assert fetch(server, tmp_path) == 2
    assert "says 12345678" in capsys.readouterr().err


def test_redirections_end(server, tmp_path, capsys, monkeypatch):
    plant(monkeypatch)
    assert main(["weights", "fetch", "tiny", "--to", str(tmp_path), "--mirror", f"{server.url}/loop"]) == 2
    assert "redirected more than 5 times" in capsys.readouterr().err


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["huge"], "checkpoint 'huge' is unknown; choose one of tiny"),
        (["tiny", "--mirror", "file:///etc"], "mirror 'file:///etc' is no http or https address"),
        (["tiny", "--to", "/dev/null/x"], "cannot be made"),
    ],
)
def test_bad_arguments_are_refused(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["weights", "fetch", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("content", ["{", "[]", '{"files": {"weights.bin": {"url": "x"}}}'])
def test_a_broken_record_is_refused(content, server, tmp_path, capsys):
    (tmp_path / "weights.lock.json").write_text(content)
    assert fetch(server, tmp_path) == 2
    assert "weights.lock.json cannot be read" in capsys.readouterr().err


def test_the_list_names_every_checkpoint_and_its_licence(capsys):
    assert main(["weights", "list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in CHECKPOINTS)
    assert out.count("Apache-2.0") == 3


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_table_holds_addresses_and_hashes(name):
    files = CHECKPOINTS[name].files
    assert len({file.name for file in files}) == len(files)
    for file in files:
        assert file.url.startswith("https://")
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}", file.sha256)
        assert file.sha256 is None or len(file.sha256) == 8 or (file.size or 0) > 0
        if "torchvision" in CHECKPOINTS[name].licence:
            assert f"-{file.sha256[:8]}.pth" in file.url
    assert CHECKPOINTS[name].megabytes == pytest.approx(sum(file.size or 0 for file in files) / 1e6, abs=1) or any(
        file.size is None for file in files
    )


def test_the_hashes_of_clips_vocabulary_are_those_of_openais_own_file(shared_data):
    bpe = (shared_data / "vocab" / "bpe_simple_vocab_16e6.txt.gz").read_bytes()
    merges = gzip.decompress(bpe).decode("utf-8").split("\n")[1 : 49152 - 256 - 2 + 1]
    header = "#version: 0.2 - Trained by `huggingface/tokenizers`"
    content = "\n".join([header, *merges, ""]).encode()
    (file,) = (file for file in CHECKPOINTS["clip-vit-base-patch32"].files if file.name == "merges.txt")
    assert (file.size, file.sha256) == (len(content), sha256(content))
