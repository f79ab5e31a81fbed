"""`serve`, `keys`, `identify`, and what is said where a node can't be reached."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from cryoctl.cli.main import call
from cryoctl.launch.serve import ServeRequest, serve

KEY = "ab" * 32


@pytest.fixture(autouse=True)
def _own_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYOCTL_KEYS", str(tmp_path / "keys"))


def said(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert len(lines[0]) <= 320
    return lines[0]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def test_keys_are_made_allowed_listed_and_revoked(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["keys", "new", "--quiet"]) == 0
    mine = capsys.readouterr().out.strip()
    assert len(bytes.fromhex(mine)) == 32
    assert call(["keys", "new"]) == 2
    assert "there is a pair already" in said(capsys)
    assert call(["keys", "allow", KEY, "anna", "--role", "viewer", "--quiet"]) == 0
    assert call(["keys", "know", "tcp://host:9747", KEY, "--quiet"]) == 0
    assert call(["keys", "list", "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["public"] == mine
    assert told["allowed"] == [{"name": "anna", "role": "viewer", "key": KEY}]
    assert told["known"] == {"tcp://host:9747": KEY}
    assert call(["keys", "revoke", "anna", "--quiet"]) == 0
    capsys.readouterr()
    assert call(["keys", "revoke", "anna"]) == 2
    assert "not among the allowed" in said(capsys)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("keys allow abc anna", "key: found 'abc', a public key has 64 hexadecimal digits"),
        (f"keys allow {KEY}", "keys allow: found 1 words, it takes KEY NAME"),
        (f"keys know host:1 {KEY}", "node: found 'host:1', an address is tcp://HOST:PORT"),
        ("serve simulated --address 0.0.0.0 --port 0", "--address 0.0.0.0: open to other computers only with keys"),
        ("serve nowhere --port 0", "'nowhere' is not a bundled instrument"),
        ("run edx-tomography --instrument tcp://127.0.0.1", "an address is tcp://HOST:PORT"),
    ],
)
def test_bad_input_is_one_sentence(words: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(words.split()) == 2
    assert sentence in said(capsys)


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cryoctl.launch.serve.PORT_FREE_WITHIN_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert call(["serve", "simulated", "--port", str(port)]) == 2
    assert f"--port {port}: another process listens there" in said(capsys)


@pytest.mark.parametrize("words", ["run edx-tomography --instrument", "identify", "safe"])
def test_nobody_at_the_address(words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path)] if words.startswith("run") else []
    assert call([*words.split(), f"tcp://127.0.0.1:{free_port()}", *out]) == 2
    assert "nobody listens there; see that `cryoctl serve` runs" in said(capsys)
    assert not list(tmp_path.glob("*.nxs"))


def test_a_node_from_its_start_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ready, stop = threading.Event(), threading.Event()
    told: list[Any] = []
    ended: list[Any] = []

    def heard(now: Any) -> None:
        told.append(now)
        ready.set()

    def run() -> None:
        ended.append(serve(ServeRequest(instrument="simulated", port=0, world=tmp_path / "w"), heard, stop))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(60.0)
        address = told[0].address
        assert call(["identify", address, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["instrument"] == "simulated"
        assert {one["name"]: one["who"] for one in found["devices"]}["beam"].startswith("cryoctl simulated beam")
        assert call(["safe", address, "--json"]) == 0
        assert all(one["confirmed"] for one in json.loads(capsys.readouterr().out)["actions"])
        assert call(["devices", "--instrument", address, "--quiet"]) == 0
        assert "remote-beam" in capsys.readouterr().out
        assert call(["safe", "simulated", "--world", str(tmp_path / "w"), "--quiet"]) == 0, "its node is found"
    finally:
        stop.set()
        thread.join()
    assert ended[0].exit_code == 0
