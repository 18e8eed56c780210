"""Where files are looked for, and what is said when they cannot be had."""

import functools
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest

from byheart.data.files import Remote, fetch, find, folders, require_hash
from byheart.errors import DataError

REMOTE = Remote("labels.gz", "a" * 64, ("https://one.example/x", "https://two.example"))


def test_the_named_folder_comes_before_the_cache(data_folder: Path, tmp_path: Path) -> None:
    assert folders("mnist") == [data_folder / "mnist", tmp_path / "cache" / "byheart" / "mnist"]


def test_without_a_named_folder_there_is_the_cache(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BYHEART_DATA")
    assert folders("mnist") == [tmp_path / "cache" / "byheart" / "mnist"]


def test_a_named_folder_that_does_not_exist_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BYHEART_DATA", str(tmp_path / "typo"))
    with pytest.raises(DataError, match=r"BYHEART_DATA names '.*typo', which is no folder"):
        folders("mnist")


def test_a_file_is_found_in_the_cache_too(data_folder: Path, tmp_path: Path) -> None:
    assert find("toy", ("a", "b")) is None
    cached = tmp_path / "cache" / "byheart" / "toy" / "b"
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert find("toy", ("a", "b")) == cached


def test_a_download_goes_where_the_user_said_with_its_hash_checked(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, object]]] = []

    def retrieve(url: str, **options: object) -> str:
        asked.append((url, options))
        return str(data_folder / "toy" / "labels.gz")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert fetch("toy", REMOTE) == data_folder / "toy" / "labels.gz"
    assert asked == [
        (
            "https://one.example/x/labels.gz",
            {
                "known_hash": "sha256:" + "a" * 64,
                "fname": "labels.gz",
                "path": data_folder / "toy",
            },
        )
    ]


def test_a_download_goes_to_the_cache_where_the_folder_is_read_only(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    monkeypatch.setattr(pooch, "retrieve", lambda url, **options: str(options["path"]))
    assert fetch("toy", REMOTE) == tmp_path / "cache" / "byheart" / "toy"


def test_offline_the_file_the_folders_and_the_remedy_are_named(
    data_folder: Path, tmp_path: Path, offline: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        fetch("toy", REMOTE)
    assert offline == ["https://one.example/x/labels.gz", "https://two.example/labels.gz"]
    for part in (
        "no file labels.gz",
        str(data_folder / "toy"),
        str(tmp_path / "cache" / "byheart" / "toy"),
        "https://one.example/x/labels.gz",
        "BYHEART_DATA=",
        "ConnectionError",
    ):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mirror_that_serves_another_file_is_told_from_one_that_is_down(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def retrieve(url: str, **_: object) -> str:
        raise ValueError("SHA256 hash of downloaded file does not match the known hash")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(DataError, match=r"two\.example serves a file of another hash than aaaa"):
        fetch("toy", REMOTE)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a web server on this machine that serves ``labels.gz``."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    served = tmp_path / "served"
    served.mkdir()
    (served / "labels.gz").write_bytes(b"seven")
    handler = functools.partial(QuietHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_a_download_over_the_wire_arrives(data_folder: Path, mirror: str) -> None:
    good = hashlib.sha256(b"seven").hexdigest()
    path = fetch("toy", Remote("labels.gz", good, (f"{mirror}/gone", mirror)))
    assert path == data_folder / "toy" / "labels.gz"
    assert path.read_bytes() == b"seven"


def test_a_download_of_another_hash_leaves_nothing_behind(data_folder: Path, mirror: str) -> None:
    with pytest.raises(DataError, match=f"serves a file of another hash than {'a' * 64}"):
        fetch("toy", Remote("labels.gz", "a" * 64, (mirror,)))
    assert not (data_folder / "toy" / "labels.gz").exists()


def test_equal_hashes_pass_and_others_name_the_file(tmp_path: Path) -> None:
    require_hash(tmp_path, "md5:a", "md5:a")
    with pytest.raises(DataError, match=r"content hash is md5:b, not md5:a"):
        require_hash(tmp_path, "md5:a", "md5:b")
