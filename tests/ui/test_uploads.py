"""What is uploaded is its visitor's, within quotas, and gone when it came to nothing or is old."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from app.limits import Limits
from app.ui.middleware import COOKIE
from app.ui.uploads import PATH, SECONDS, Quotas, UploadDesk, discard, own_folder

MB = 1_000_000


class Clock:
    now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path / "uploads"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quotas(clock: Clock) -> Quotas:
    return Quotas(Limits(visitor_upload_mb=2, uploads_mb=10), clock)


@pytest.fixture
def client(quotas: Quotas) -> Iterator[TestClient]:
    desk = Middleware(UploadDesk, quotas=quotas, proxies=1)
    with TestClient(Starlette(middleware=[desk])) as made:
        yield made


def send(
    client: TestClient, size: int, visitor: str = "a", address: str = "192.0.2.1", name: str = "a"
) -> tuple[int, str]:
    """Upload a file of `size` bytes; return the answer."""
    headers = {"x-forwarded-for": address}
    headers |= {"cookie": f"{COOKIE}={visitor * 43}"} if visitor else {}
    answer = client.post(PATH, files={"files": (name, bytes(size))}, headers=headers)
    return answer.status_code, answer.text if answer.status_code > 200 else answer.json()[0]


def there() -> list[Path]:
    return list(own_folder().iterdir())


def test_equal_files_of_two_visitors_are_two(client: TestClient) -> None:
    first, second = (Path(send(client, 100, visitor)[1]) for visitor in "ab")
    assert first.name == second.name == "a"
    assert first.read_bytes() == second.read_bytes() == bytes(100)
    discard(first)
    assert not first.exists()
    assert second.is_file()
    assert len(there()) == 1


def test_nothing_but_uploads_is_ever_removed(tmp_path: Path) -> None:
    for path in (tmp_path / "gallery.png", own_folder() / ".." / "other.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        discard(path)
        assert path.is_file()


def test_an_upload_stays_until_its_last_file_is_used(client: TestClient) -> None:
    files = [("files", (name, b"bytes")) for name in "abc"]
    paths = [Path(path) for path in client.post(PATH, files=files).json()]
    for path in paths:
        assert there()
        discard(path)
    assert there() == []


def test_each_visitor_each_address_and_all_have_a_quota(client: TestClient) -> None:
    assert send(client, 1_500_000)[0] == 200
    status, words = send(client, 1_500_000)
    assert (status, "Your uploads would have more than 2 MB" in words) == (413, True)
    assert len(there()) == 1
    for visitor in "bc":
        assert send(client, 1_700_000, visitor)[0] == 200
    status, words = send(client, 1_700_000, "d")
    assert (status, "from your address would have more than 5 MB" in words) == (413, True)
    for i in range(3):
        assert send(client, 1_500_000, "", f"198.51.100.{i}")[0] == 200
    status, words = send(client, 1_500_000, "", "198.51.100.9")
    assert (status, "All visitors' uploads would have more than 10 MB" in words) == (413, True)


def test_what_was_used_makes_room(client: TestClient) -> None:
    for _ in range(4):
        status, path = send(client, 1_500_000)
        assert status == 200
        discard(Path(path))


def test_an_upload_ends_after_an_hour(client: TestClient, quotas: Quotas, clock: Clock) -> None:
    old = Path(send(client, 1_500_000)[1])
    clock.now += SECONDS - 1
    quotas.sweep()
    assert old.is_file()
    clock.now += 2
    quotas.sweep()
    assert there() == []
    assert send(client, 1_500_000)[0] == 200


def test_what_a_process_before_left_counts_and_ends_too(client: TestClient, clock: Clock) -> None:
    path = Path(send(client, 1_500_000)[1])
    after = Quotas(Limits(uploads_mb=2), clock)
    with pytest.raises(Exception, match="All visitors"):
        after.grow(after.begin("b", "192.0.2.1"), 600_000)
    clock.now = path.stat().st_mtime + SECONDS + 1
    after.sweep()
    assert not path.exists()


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"files": {"other": ("a", b"bytes")}}, 400),
        ({"data": {"files": "no file"}}, 400),
        ({"files": {"files": (None, "no file")}}, 400),
        ({"content": b"nonsense", "headers": {"content-type": "multipart/form-data"}}, 400),
        ({"content": b"--b", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400),
    ],
)
def test_what_brings_no_file_leaves_nothing(
    client: TestClient, how: dict[str, object], status: int
) -> None:
    assert client.post(PATH, **how).status_code == status  # type: ignore[arg-type]
    assert there() == []


def test_what_is_no_file_does_not_fill_the_memory() -> None:
    quotas = Quotas(Limits())
    with TestClient(Starlette(middleware=[Middleware(UploadDesk, quotas=quotas, proxies=1)])) as it:
        field = b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\n'
        whole = [field, *[bytes(MB)] * 40, b"\r\n--b--\r\n"]
        answer = it.post(
            PATH,
            content=iter(whole),
            headers={"content-type": "multipart/form-data; boundary=b"},
        )
    assert answer.status_code == 413
    assert "fields" in answer.text
    assert there() == []
