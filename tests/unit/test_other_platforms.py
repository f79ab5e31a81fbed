"""What Windows and macOS lack is not needed, what they forbid is not done."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cryoctl import open_run
from cryoctl.cli.main import call
from cryoctl.errors import FileProblem
from cryoctl.launch.paths import claim
from cryoctl.runfile.check import check_run
from tests.runs.small_runs import play, run_file

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for folder in ("cryoctl", "drivers", "protocols", "simulators")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
MODULES = frozenset(["fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"])
NAMES = {
    "os": "fork forkpty getuid geteuid getgid getpgid killpg setsid uname nice mkfifo sched_setaffinity "
    "sched_getaffinity O_DIRECT O_NONBLOCK O_SYNC pread preadv pwrite pwritev fdatasync posix_fadvise posix_fallocate "
    "register_at_fork statvfs fchmod fchown chown lockf sendfile sync wait3 wait4 WNOHANG",
    "signal": "SIGHUP SIGKILL SIGQUIT SIGUSR1 SIGUSR2 SIGALRM SIGCHLD SIGPIPE alarm setitimer pause pthread_kill",
    "socket": "AF_UNIX SO_REUSEPORT",
    "time": "tzset pthread_getcpuclockid",
    "loop": "add_signal_handler remove_signal_handler",
}
ASKS = re.compile(r"sys\.platform|os\.name|hasattr\(")
WINDOWS_FORBIDS = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)
LACKING = ("pwrite", "pread", "pwritev", "preadv", "fdatasync", "posix_fallocate", "posix_fadvise", "O_DIRECT", "fork")


def posix_only(tree: ast.AST) -> list[str]:
    """Names that Windows has not, outside of what asks for the platform or for the name itself."""
    found: list[str] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If | ast.IfExp) and ASKS.search(ast.unparse(node.test)):
            continue
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names if one.name in MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.ImportFrom) and node.module in NAMES:
            found += [one.name for one in node.names if one.name in NAMES[str(node.module)].split()]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in NAMES.get(node.value.id, "").split():
                found.append(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Attribute) and node.attr in NAMES["loop"].split():
            found.append(node.attr)
        found += posix_only(node)
    return found


def test_nothing_needs_what_windows_lacks() -> None:
    found = {path: posix_only(ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES}
    assert {path.relative_to(ROOT): names for path, names in found.items() if names} == {}


def test_the_search_finds_what_it_looks_for() -> None:
    text = "import fcntl\nfrom os import fork\nx = signal.SIGHUP\nif sys.platform != 'win32':\n    import pwd\n"
    assert posix_only(ast.parse(text)) == ["fcntl", "fork", "signal.SIGHUP"]


@pytest.fixture
def windows_lock(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The lock as Windows loads it, on a stand-in for msvcrt: a byte that is locked can't be locked or read again."""
    locked: dict[tuple[int, int], int] = {}

    def locking(fd: int, mode: int, count: int) -> None:
        place = (os.fstat(fd).st_ino, os.lseek(fd, 0, os.SEEK_CUR))
        if locked.get(place, fd) != fd:
            raise PermissionError(13, "Permission denied")
        locked[place] = fd

    closing = os.close

    def close(fd: int) -> None:
        for place in [one for one, owner in locked.items() if owner == fd]:
            del locked[place]
        closing(fd)

    msvcrt: Any = ModuleType("msvcrt")
    msvcrt.locking, msvcrt.LK_NBLCK = locking, 2
    spec = importlib.util.spec_from_file_location("windows_lock", ROOT / "cryoctl/runfile/lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    monkeypatch.setitem(sys.modules, "windows_lock", module)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(os, "close", close)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        spec.loader.exec_module(module)
    return module


def test_the_lock_of_windows_excludes_and_tells_its_owner(windows_lock: Any, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with windows_lock.RunLock(path):
        assert windows_lock.is_locked(path)
        assert windows_lock.owner_pid(path) == os.getpid()
        with pytest.raises(FileProblem, match=str(os.getpid())):
            windows_lock.RunLock(path).acquire()
    assert not windows_lock.is_locked(path)
    assert path.stat().st_size < 100, "the locked byte lies behind the text, the file does not grow to it"


def test_a_whole_run_without_the_calls_of_posix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames, events, journal, world file, skeleton, packing and reading, with names that Windows allows."""
    for name in LACKING:
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr("cryoctl.runfile.raw_io.sync_folder", lambda folder: None)
    path = run_file(play(tmp_path))
    assert check_run(path).ok
    with open_run(path) as finished:
        assert len(finished.image) == 3
    names = {path.name for path in tmp_path.rglob("*")}
    assert not [name for name in names if WINDOWS_FORBIDS.search(name)]


@pytest.mark.parametrize("recipe", ["con", "NUL.cold", "aux.1", "lpt1.x", "a:b?", "trailing.", " ", "..", "µ Ω", ""])
def test_a_runs_name_is_one_on_every_platform(recipe: str, tmp_path: Path) -> None:
    paths = claim(tmp_path, recipe, 2)
    for name in (paths.run_file.name, paths.parts.folder.name):
        assert name.isascii()
        assert not WINDOWS_FORBIDS.search(name), name


@pytest.mark.parametrize(
    "command", ["recipes", "protocols", "faults", "devices", "graph edx-tomography", "schema edx-tomography"]
)
def test_what_is_looked_up_can_be_shown_by_an_old_console(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(command.split()) == 0
    shown = capsys.readouterr()
    assert shown.out
    (shown.out + shown.err).encode("cp1252")
