"""Node and watchdog go before other programs: with all of their threads, and their session."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LOOKS = """
import json, os, threading
from pathlib import Path
stop = threading.Event()
early = threading.Thread(target=stop.wait)
early.start()
from cryoctl.node.priority import go_first
first = go_first()
late = threading.Thread(target=stop.wait)
late.start()
nice = [os.getpriority(os.PRIO_PROCESS, int(one.name)) for one in Path("/proc/self/task").iterdir()]
group = Path("/proc/self/autogroup")
print(json.dumps([first, nice, group.read_text().split()[-1] if group.exists() else None]))
stop.set()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks where Linux tells it")
def test_all_threads_of_a_process_and_its_session_go_first_or_none_does() -> None:
    done = subprocess.run([sys.executable, "-c", LOOKS], capture_output=True, check=True, start_new_session=True)
    first, nice, group = json.loads(done.stdout)
    assert len(nice) >= 3
    assert set(nice) == ({-10} if first else {0})
    if group is not None:
        assert group == ("-10" if first else "0")
