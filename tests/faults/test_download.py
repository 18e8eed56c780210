"""Downloads cut off, damaged, refused or killed: no half file, and the next one arrives."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.faults.hurt import until
from tests.faults.ledger import FAULTS, note_fault

from byheart.data.files import Remote, fetch
from byheart.errors import DataError

CONTENT = random.Random(0).randbytes(300_000)
REMOTE = "images.gz"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SAYS = {"cut off": "mirror|Error", "damaged": "of another hash", "refused": "HTTPError"}


class Mirror(BaseHTTPRequestHandler):
    """Serves the file in the way that the test asks for."""

    way, cut = "whole", 0
    asked, go_on = threading.Event(), threading.Event()

    def do_GET(self):
        if self.way == "refused":
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.way == "damaged":
            self.wfile.write(CONTENT[: self.cut] + b"?" + CONTENT[self.cut + 1 :])
        elif self.way == "whole":
            self.wfile.write(CONTENT)
        else:
            self.wfile.write(CONTENT[: self.cut])
        if self.way == "stalls":
            self.wfile.flush()
            self.asked.set()
            self.go_on.wait()

    def log_message(self, *_):
        pass


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("BYHEART_DATA", str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        Mirror.go_on.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("way", ["cut off", "damaged", "refused"])
def test_a_download_that_goes_wrong_leaves_no_half_file_and_the_next_arrives(tmp_path, mirror, way):
    draw = random.Random(way)
    remote = Remote(REMOTE, SHA256, (mirror,))
    for _ in range(FAULTS):
        Mirror.way, Mirror.cut = way, draw.randrange(len(CONTENT))
        with pytest.raises(DataError, match=SAYS[way]) as caught:
            fetch("toy", remote)
        assert "\n" not in str(caught.value) and mirror in str(caught.value)
        assert list((tmp_path / "toy").iterdir()) == []
        Mirror.way = "whole"
        path = fetch("toy", remote)
        assert path.read_bytes() == CONTENT
        path.unlink()
        note_fault(f"download, {way}", lost=0)


FETCH = """
import sys
from byheart.data.files import Remote, fetch
fetch("toy", Remote(sys.argv[1], sys.argv[2], (sys.argv[3],)))
"""


@pytest.mark.faults
def test_a_download_that_is_killed_leaves_no_half_file_under_its_name(tmp_path, mirror):
    draw = random.Random(0)
    for _ in range(max(1, FAULTS // 10)):
        Mirror.way, Mirror.cut = "stalls", draw.randrange(1, len(CONTENT))
        Mirror.asked.clear()
        child = subprocess.Popen(
            [sys.executable, "-c", FETCH, REMOTE, SHA256, mirror],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        until(lambda: Mirror.asked.is_set())
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert not (tmp_path / "toy" / REMOTE).exists()
        Mirror.way = "whole"
        path = fetch("toy", Remote(REMOTE, SHA256, (mirror,)))
        assert path.read_bytes() == CONTENT
        path.unlink()
        note_fault("download, kill -9", lost=0)
