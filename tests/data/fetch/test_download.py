"""Downloads from a local stand-in for Kaggle, and malicious archives."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bigkingxxl.data.fetch import transfer
from bigkingxxl.data.fetch.download import download, unpack_archives
from bigkingxxl.data.fetch.unpack import unpack
from bigkingxxl.errors import BigKingXXLError, FormatError, InputError, OutputError
from tests.data.kaggle_stand_in import COCO, COMPETITION, StandIn, serving
from tests.refusals import refused

FILES = {"train.csv": b"id,annotation,width,height,cell_type\n", "train/a.png": b"\x89PNG" * 500}


def zipped(files: dict[str, bytes], *, stored: bool = False) -> bytes:
    stream = io.BytesIO()
    method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def noise(length: int) -> bytes:
    return np.random.default_rng(0).bytes(length)


def with_member(name: str, mode: int = 0, content: bytes = b"x") -> bytes:
    """An archive of the usual files and one malicious file."""
    stream = io.BytesIO(zipped(FILES))
    member = zipfile.ZipInfo(name)
    member.external_attr = mode << 16
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr(member, content)
    return stream.getvalue()


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A stand-in that Kaggle's own client talks to, and a user whose token it accepts."""
    environment = pytest.importorskip("kagglesdk.kaggle_env", reason="Kaggle's client is missing")
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR",
                 "XDG_CONFIG_HOME", "KAGGLE_API_ENVIRONMENT"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(transfer, "SECONDS_BEFORE_RETRY", 0.0)
    archives = {
        COMPETITION: zipped({**FILES, "test/b.png": noise(3_000_000)}, stored=True),
        COCO: zipped({"annotations_train.json": b"{}", "annotations_val.json": b"{}"}),
    }
    with serving(StandIn(archives)) as stand_in:
        monkeypatch.setitem(environment._env_to_endpoint, environment.KaggleEnv.PROD, stand_in.url)
        yield stand_in


@pytest.fixture
def token(kaggle: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")


@pytest.mark.usefixtures("token")
def test_both_archives_arrive_and_are_unpacked(kaggle: StandIn, tmp_path: Path) -> None:
    found = download(tmp_path / "data")
    assert (tmp_path / "data/train.csv").read_bytes() == FILES["train.csv"]
    assert (tmp_path / "data/train/a.png").read_bytes() == FILES["train/a.png"]
    assert (tmp_path / "data/test/b.png").read_bytes() == noise(3_000_000)
    assert (tmp_path / "data/coco/annotations_val.json").read_bytes() == b"{}"
    expected = [hashlib.sha256(kaggle.files[key]).hexdigest() for key in (COMPETITION, COCO)]
    assert [each.sha256 for each in found] == expected
    assert not list((tmp_path / "data").glob("*.zip*")), "archives are not left behind"
    record = json.loads((tmp_path / "data/download.json").read_text())
    assert [entry["sha256"] for entry in record.values()] == expected


@pytest.mark.usefixtures("token")
def test_complete_archives_are_not_downloaded_again(kaggle: StandIn, tmp_path: Path) -> None:
    first = download(tmp_path)
    calls = kaggle.calls
    assert download(tmp_path) == first
    assert kaggle.calls == calls
    (tmp_path / "train/a.png").unlink()
    download(tmp_path)
    assert kaggle.calls == calls + 1
    assert (tmp_path / "train/a.png").is_file()


@pytest.mark.usefixtures("token")
def test_a_broken_transfer_resumes(kaggle: StandIn, tmp_path: Path) -> None:
    kaggle.breaks = [1_200_000]
    download(tmp_path, with_coco=False)
    assert (tmp_path / "test/b.png").read_bytes() == noise(3_000_000)
    resumed = [int(asked[6:-1]) for asked in kaggle.ranges if asked]
    assert len(resumed) == 1
    assert 0 < resumed[0] <= 1_200_000


@pytest.mark.usefixtures("token")
def test_a_later_run_resumes_the_download(kaggle: StandIn, tmp_path: Path) -> None:
    # Each attempt is cut off at once, so that the first run gives up with what came first.
    kaggle.breaks = [1_500_000, *[0] * 20]
    with refused(InputError, file="sartorius-cell-instance-segmentation.zip") as caught:
        download(tmp_path, with_coco=False)
    assert "\n" not in str(caught.value)
    part = tmp_path / "sartorius-cell-instance-segmentation.zip.part"
    came = part.stat().st_size
    assert 0 < came <= 1_500_000
    kaggle.breaks, kaggle.ranges = [], []
    download(tmp_path, with_coco=False)
    assert f"bytes={came}-" in kaggle.ranges
    assert (tmp_path / "test/b.png").read_bytes() == noise(3_000_000)


@pytest.mark.usefixtures("token")
def test_a_part_of_another_version_is_not_continued(kaggle: StandIn, tmp_path: Path) -> None:
    kaggle.breaks = [1_500_000, *[0] * 20]
    with pytest.raises(InputError):
        download(tmp_path, with_coco=False)
    kaggle.breaks = []
    kaggle.files[COMPETITION] = zipped({**FILES, "test/b.png": noise(2_500_000)[::-1]}, stored=True)
    download(tmp_path, with_coco=False)
    assert (tmp_path / "test/b.png").read_bytes() == noise(2_500_000)[::-1]


@pytest.mark.usefixtures("token")
def test_a_wrong_checksum_is_refused_and_removed(kaggle: StandIn, tmp_path: Path) -> None:
    kaggle.md5 = base64.b64encode(hashlib.md5(b"another file").digest()).decode()
    with refused(InputError, "MD5"):
        download(tmp_path / "data", with_coco=False)
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(
    ("status", "named"),
    [
        (401, "kaggle.com/settings/api"),
        (403, "competitions/sartorius-cell-instance-segmentation/rules"),
        (404, "404"),
        (429, ""),
        (418, "418"),
    ],
)
def test_a_refusal_explains_what_to_do(
    kaggle: StandIn, tmp_path: Path, status: int, named: str
) -> None:
    kaggle.status = status
    with refused(InputError, named) as caught:
        download(tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert kaggle.calls == 1, "a refusal is not asked for again"


@pytest.mark.usefixtures("token")
def test_a_server_out_of_order_is_tried_again(kaggle: StandIn, tmp_path: Path) -> None:
    kaggle.status = 503
    with refused(InputError):
        download(tmp_path / "data")
    assert kaggle.calls > 1


@pytest.mark.usefixtures("kaggle")
def test_missing_credentials_explain_where_to_put_them(tmp_path: Path) -> None:
    with refused(InputError, "KAGGLE_API_TOKEN", key="credentials"):
        download(tmp_path / "data")
    assert not (tmp_path / "data").exists()


BASIC = "Basic " + base64.b64encode(b"user:key").decode()
KEY_FILE = json.dumps({"username": "user", "key": "key"})


@pytest.mark.parametrize(
    ("files", "variables", "accepted"),
    [
        ({}, {"KAGGLE_API_TOKEN": "secret"}, "Bearer secret"),
        ({"home/.kaggle/access_token": "secret"}, {}, "Bearer secret"),
        ({}, {"KAGGLE_USERNAME": "user", "KAGGLE_KEY": "key"}, BASIC),
        ({"home/.kaggle/kaggle.json": KEY_FILE}, {}, BASIC),
        ({"home/.config/kaggle/kaggle.json": KEY_FILE}, {}, BASIC),
        ({"elsewhere/kaggle.json": KEY_FILE}, {"KAGGLE_CONFIG_DIR": "elsewhere"}, BASIC),
    ],
)
def test_credentials_are_found_in_their_usual_places(
    kaggle: StandIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    variables: dict[str, str],
    accepted: str,
) -> None:
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(content)
    for name, value in variables.items():
        place = str(tmp_path / value) if name == "KAGGLE_CONFIG_DIR" else value
        monkeypatch.setenv(name, place)
    kaggle.authorisations = (accepted,)
    assert download(tmp_path / "data", with_coco=False)


@pytest.mark.usefixtures("kaggle")
def test_a_damaged_key_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "home/.kaggle/kaggle.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with refused(InputError, file=path):
        download(tmp_path / "data")


@pytest.mark.usefixtures("token")
def test_a_disk_too_small_is_noticed_first(
    kaggle: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with refused(OutputError, found=1_000_000):
        download(tmp_path / "data", with_coco=False)


def archive_at(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_local_archive_is_unpacked_and_kept(tmp_path: Path) -> None:
    archive = archive_at(tmp_path / "mine.zip", zipped(FILES))
    (found,) = unpack_archives(tmp_path / "data", [archive])
    assert (tmp_path / "data/train.csv").read_bytes() == FILES["train.csv"]
    assert found.files == {name: len(content) for name, content in FILES.items()}
    assert archive.is_file()


def test_an_enclosing_folder_is_removed(tmp_path: Path) -> None:
    inner = {f"sartorius/{name}": content for name, content in FILES.items()}
    archive = archive_at(tmp_path / "mine.zip", zipped({**inner, "__MACOSX/._train.csv": b"x"}))
    unpack_archives(tmp_path / "data", [archive])
    assert (tmp_path / "data/train/a.png").read_bytes() == FILES["train/a.png"]
    assert not (tmp_path / "data/__MACOSX").exists()


def test_annotations_are_stored_beside_the_data(tmp_path: Path) -> None:
    archive = archive_at(tmp_path / "mine.zip", zipped({"annotations_all.json": b"{}"}))
    unpack_archives(tmp_path / "data", [archive])
    assert (tmp_path / "data/coco/annotations_all.json").is_file()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (zipped({"readme.txt": b"hello"}), FormatError),
        (b"PK\x03\x04 not really", FormatError),
        (zipped(FILES)[:-40], FormatError),
        (None, InputError),
    ],
)
def test_another_archive_is_refused(
    tmp_path: Path, content: bytes | None, error: type[BigKingXXLError]
) -> None:
    archive = tmp_path / "mine.zip"
    if content is not None:
        archive.write_bytes(content)
    with refused(error, file=archive):
        unpack_archives(tmp_path / "data", [archive])


EVIL: list[tuple[str, Callable[[], bytes], str | None]] = [
    ("upwards", lambda: with_member("../evil"), "../evil"),
    ("upwards within", lambda: with_member("train/../../evil"), "train/../../evil"),
    ("absolute", lambda: with_member("/elsewhere/evil"), "/elsewhere/evil"),
    ("drive", lambda: with_member("C:evil"), "C:evil"),
    ("backslashes", lambda: with_member("..\\evil"), "..\\evil"),
    ("link", lambda: with_member("link", stat.S_IFLNK | 0o777, b"/etc"), "link"),
    ("device", lambda: with_member("null", stat.S_IFCHR | 0o666), "null"),
    ("bomb", lambda: zipped({**FILES, "zeros": bytes(30_000_000)}), None),
]


@pytest.mark.parametrize(
    ("make", "member"), [case[1:] for case in EVIL], ids=[case[0] for case in EVIL]
)
def test_a_malicious_archive_leaves_nothing_behind(
    tmp_path: Path, make: Callable[[], bytes], member: str | None
) -> None:
    archive = archive_at(tmp_path / "evil.zip", make())
    with refused(FormatError, file=archive, key=member):
        unpack_archives(tmp_path / "data" / "inner", [archive])
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != archive]
    assert files == []


def test_a_duplicate_file_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = with_member("train.csv")
    with refused(FormatError, key="train.csv"):
        unpack(archive_at(tmp_path / "evil.zip", content), tmp_path / "data")


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped({"train.csv": b"abc"}, stored=True))
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    with refused(FormatError, file="evil.zip", key="train.csv"):
        unpack(archive_at(tmp_path / "evil.zip", bytes(content)), tmp_path / "data")


def test_a_damaged_file_is_named_and_not_left_behind(tmp_path: Path) -> None:
    content = zipped({"train.csv": b"abc" * 100}, stored=True).replace(b"abcabc", b"abcabd", 1)
    with refused(FormatError, file="bad.zip", key="train.csv"):
        unpack(archive_at(tmp_path / "bad.zip", content), tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_link_in_the_folder_is_not_followed_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train").symlink_to(tmp_path / "outside")
    with refused(FormatError, file="mine.zip"):
        unpack(archive_at(tmp_path / "mine.zip", zipped(FILES)), tmp_path / "data")
    assert list((tmp_path / "outside").iterdir()) == []


def test_unpacking_again_restores_changed_files_only(tmp_path: Path) -> None:
    archive = archive_at(tmp_path / "mine.zip", zipped(FILES))
    unpack(archive, tmp_path / "data")
    untouched = (tmp_path / "data/train/a.png").stat().st_mtime_ns
    table = tmp_path / "data/train.csv"
    table.write_bytes(FILES["train.csv"].replace(b"id", b"ID"))
    unpack(archive, tmp_path / "data")
    assert table.read_bytes() == FILES["train.csv"]
    assert (tmp_path / "data/train/a.png").stat().st_mtime_ns == untouched
