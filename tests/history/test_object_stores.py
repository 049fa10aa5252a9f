"""A store behind fsspec: in memory, and on a server that speaks S3."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest

from pytest_hiddencost.core.errors import StoreError
from pytest_hiddencost.history.compaction import compact
from pytest_hiddencost.history.database import HistoryDatabase, StorePart, ask
from pytest_hiddencost.history.small_files import merge_small_files
from pytest_hiddencost.history.store_folder import StoreFolder
from tests.history.stored_runs import AT_ONCE, PI, START, measured, rows, stored


def check_store(url: str) -> None:
    """Add, read, compact and read again."""
    StoreFolder(url).check_writable()
    for day in range(3):
        stored(url, [measured(), measured(label="b")], day)
    counts = "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM operators)"
    assert rows(url, counts) == [(3, 30)]
    folder = StoreFolder(url)
    done = compact(folder, timedelta(days=1), timedelta(days=-36_500), START + timedelta(days=3))
    assert (done.merged, done.removed, done.samples) == (3, 9, 4)
    assert rows(url, counts) == [(3, 30)]
    assert rows(url, "SELECT count(samples) FROM profiles") == [(2,)]
    assert len(folder.files("profiles")) == 1


def test_a_store_in_memory() -> None:
    check_store("memory://history/store")


def test_small_files_are_merged_under_a_reader() -> None:
    url = "memory://history/merged"
    folder, opened = StoreFolder(url), []
    for day in range(4):
        stored(url, [measured()], day)

    def question(database: HistoryDatabase) -> int:
        opened.append(database)
        if len(opened) == 1:  # the files that this reader knows are removed under it
            for _ in range(2):
                merge_small_files(folder, PI.key, START + timedelta(days=4), AT_ONCE)
        return len(database.rows("SELECT * FROM profiles")[1])

    assert ask(folder, StorePart(), question) == 4
    assert len(opened) == 2
    assert len(folder.files("profiles")) == 1


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server of this process."""
    pytest.importorskip("s3fs", reason="S3 needs s3fs, which is installed for nightly")
    moto = pytest.importorskip(
        "moto.server", reason="S3 needs moto, which is installed for nightly"
    )
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket, with what s3fs needs in the environment."""
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"history-{uuid.uuid4()}"
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir(name)
    return f"s3://{name}/store"


@pytest.mark.nightly
def test_a_store_on_s3(bucket: str) -> None:
    check_store(bucket)


@pytest.mark.nightly
def test_a_bucket_that_does_not_exist_is_told_before_any_test(bucket: str) -> None:
    with pytest.raises(StoreError, match=r"s3://nowhere/store: cannot be written: "):
        StoreFolder("s3://nowhere/store").check_writable()
