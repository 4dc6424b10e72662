import fcntl
import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
from disks import fill, small_disk

from neuroreg.download.obtain import file_name, obtain, record_download, recorded_file
from neuroreg.errors import InputError

WAITS = (0, 0, 0)
URL = "https://gin.g-node.org/scan.zip"
HALF = 60_000


def archive(seed, size=150_000):
    """A zip of random bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("data/images/0.npy", np.random.default_rng(seed).bytes(size))
    return stream.getvalue()


def hdf5(user_block):
    stream = io.BytesIO()
    with h5py.File(stream, "w", userblock_size=user_block) as file:
        file["responses"] = np.random.default_rng(0).random((40, 9))
    return stream.getvalue()


CONTENT, OTHER = archive(0), archive(1)


@pytest.fixture(autouse=True)
def content(server):
    server.content = CONTENT


@pytest.fixture
def get(server, tmp_path):
    def call(**options):
        return obtain(server.url(), tmp_path / "scans", **({"waits": WAITS, "timeout": 5} | options))

    return call


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "scans"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_whole(folder, content=CONTENT):
    """The file and its checksum are there, and nothing else."""
    assert (folder / "scan.zip").read_bytes() == content
    assert names(folder) == ["scan.zip", "scan.zip.sha256"]
    digest = hashlib.sha256(content).hexdigest()
    assert (folder / "scan.zip.sha256").read_text() == f"{digest}  scan.zip\n"


def test_a_file_comes_whole_with_its_checksum(get, server, folder):
    path, digest = get()
    assert path == folder / "scan.zip"
    assert digest == hashlib.sha256(CONTENT).hexdigest()
    assert_whole(folder)
    subprocess.run(["sha256sum", "--check", "--quiet", "scan.zip.sha256"], cwd=folder, check=True)
    assert get() == (path, digest)
    assert server.ranges == [None]


@pytest.mark.parametrize("user_block", [0, 512, 4096])
def test_an_hdf5_file_comes_too(get, server, folder, user_block):
    server.content = hdf5(user_block)
    get()
    assert_whole(folder, server.content)


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"1"'},
        {"Last-Modified": "Wed, 01 Jun 2022 10:00:00 GMT"},
        {"ETag": 'W/"1"', "Last-Modified": "Wed, 01 Jun 2022 10:00:00 GMT"},
    ],
)
def test_after_a_break_only_the_rest_is_sent(get, server, folder, headers):
    server.headers = headers
    server.script = [server.answer(limit=HALF)]
    get()
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert server.requests[1]["If-Range"] == list(headers.values())[-1]
    assert server.sent == [HALF, len(CONTENT) - HALF]
    assert_whole(folder)


def test_breaks_do_not_count_while_more_arrives(get, server, folder):
    server.script = [server.answer(limit=9000) for _ in range(12)]
    get()
    assert sum(server.sent) == len(CONTENT)
    assert_whole(folder)


@pytest.mark.parametrize("count", [0, 2, 4000])
def test_a_break_in_the_first_bytes_is_no_other_kind_of_file(get, server, folder, count):
    server.script = [server.answer(limit=count)]
    get()
    assert_whole(folder)


def test_a_download_given_up_goes_on_at_the_next_call(get, server, folder):
    server.script = [server.answer(limit=HALF)] + [server.answer(limit=0)] * 4
    message = rf"{HALF} of {len(CONTENT)} bytes arrived, 4 times in a row.*stays in .*scan\.zip\.part"
    with pytest.raises(InputError, match=message):
        get()
    assert names(folder) == ["scan.zip.part", "scan.zip.part.json"]
    get()
    assert server.ranges[-1] == f"bytes={HALF}-"
    assert_whole(folder)


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}])
def test_a_file_without_a_strong_version_is_fetched_anew(get, server, folder, headers):
    server.headers = headers
    server.script = [server.answer(limit=HALF)]
    get()
    assert server.ranges == [None, None]
    assert_whole(folder)


def test_a_server_without_ranges_sends_it_anew(get, server, folder):
    server.script = [server.answer(limit=HALF), server.answer(ranges=False)]
    get()
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert server.sent == [HALF, len(CONTENT)]
    assert_whole(folder)


@pytest.mark.parametrize("conditions", [True, False])
@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_a_changed_file_is_fetched_anew(get, server, folder, header, conditions):
    def change(handler):
        server.content, server.headers = OTHER, {header: "Thu, 02 Jun 2022 10:00:00 GMT"}
        server.answer(conditions=conditions)(handler)

    server.headers = {header: "Wed, 01 Jun 2022 10:00:00 GMT"}
    server.script = [server.answer(limit=HALF), change]
    get()
    # A good server answers with the new file; one that knows no conditions is seen through.
    assert server.ranges == [None, f"bytes={HALF}-"] + [None] * (not conditions)
    assert_whole(folder, OTHER)


def test_a_changed_length_is_noticed(get, server, folder):
    def grow(handler):
        server.content = archive(2, 200_000)
        server.answer()(handler)

    server.script = [server.answer(limit=HALF), grow]
    get()
    assert server.ranges == [None, f"bytes={HALF}-", None]
    assert_whole(folder, server.content)


def test_a_file_that_became_shorter_is_noticed(get, server, folder):
    with pytest.raises(InputError, match="from the key 'sha256'"):
        get(sha256="0" * 64)
    server.content = archive(3, 50_000)
    get()
    assert server.ranges == [None, f"bytes={len(CONTENT)}-", None]
    assert_whole(folder, server.content)


def test_a_change_that_nothing_else_shows_is_noticed_by_the_checksum(get, server, folder):
    def change(handler):
        server.content = OTHER
        server.answer()(handler)

    server.script = [server.answer(limit=HALF), change]
    get(sha256=hashlib.sha256(OTHER).hexdigest())
    assert server.ranges == [None, f"bytes={HALF}-", None]
    assert_whole(folder, OTHER)


def test_a_range_that_was_not_asked_for_is_not_appended(get, server, folder):
    def elsewhere(handler):
        total = len(CONTENT)
        handler.start(206, Content_Length=100, Content_Range=f"bytes 50-149/{total}", **server.headers)
        handler.body(CONTENT[50:150])

    server.script = [server.answer(limit=HALF), elsewhere]
    get()
    assert_whole(folder)


def test_a_length_told_too_short_is_refused(get, server, folder):
    server.script = [server.answer(length=HALF)]
    with pytest.raises(InputError, match=r"scan\.zip\.part: is a zip archive without its end"):
        get()
    assert not (folder / "scan.zip").exists()


def test_a_length_told_too_long_is_seen_through(get, server, folder):
    server.script = [server.answer(length=len(CONTENT) + 10)]
    get()
    assert server.ranges == [None, f"bytes={len(CONTENT)}-"]
    assert server.sent == [len(CONTENT), 0]
    assert_whole(folder)


def test_a_length_always_told_too_long_is_refused(get, server, folder):
    server.script = [server.answer(length=len(CONTENT) + 10, ranges=False)] * 9
    with pytest.raises(InputError, match=f"{len(CONTENT)} of {len(CONTENT) + 10} bytes arrived"):
        get()
    assert not (folder / "scan.zip").exists()


def test_more_than_the_disk_holds_is_refused(get, server, folder):
    server.script = [server.answer(length=10**17)]
    with pytest.raises(InputError, match=r"GB are to come and .* GB of the disk are free"):
        get()
    assert names(folder) == []


def without_length(chunked, limit=None):
    def respond(handler):
        handler.start(200, **handler.server.headers, **({"Transfer_Encoding": "chunked"} if chunked else {}))
        body = handler.server.content[:limit]
        for start in range(0, len(body), 9000):
            block = body[start : start + 9000]
            handler.body(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
        if chunked and limit is None:
            handler.body(b"0\r\n\r\n")

    return respond


@pytest.mark.parametrize("free", [0, 8_000, 100_000])
def test_a_disk_that_gets_full_is_told_once_and_the_rest_follows(server, tmp_path, free):
    """No length is told, so that nothing can be said beforehand."""
    with small_disk(tmp_path / "disk", 400) as disk:
        fill(disk / "filler", free)
        server.script = [lambda handler: (handler.start(200, **server.headers), handler.body(CONTENT))]
        with pytest.raises(InputError) as caught:
            obtain(server.url(), disk, waits=WAITS, timeout=5)
        assert str(caught.value) == (
            f"{disk}/scan.zip.part: cannot be written (No space left on device); expected a folder with room "
            "for it."
        )
        assert len(server.requests) == 1
        assert "scan.zip" not in names(disk)
        (disk / "filler").unlink()
        obtain(server.url(), disk, waits=WAITS, timeout=5)
        assert_whole(disk)
        assert sum(server.sent) < 2 * len(CONTENT) - free + 30_000


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_of_untold_length_comes_whole(get, server, folder, chunked):
    server.script = [without_length(chunked, HALF), server.status(503), without_length(chunked)]
    get()
    assert server.ranges == [None, f"bytes={HALF}-", f"bytes={HALF}-"]
    assert_whole(folder)


def tar():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        file.addfile(tarfile.TarInfo("data"))
    return stream.getvalue()


def empty_zip():
    stream = io.BytesIO()
    zipfile.ZipFile(stream, "w").close()
    return stream.getvalue()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>", "is an HTML page; expected a zip or HDF5"),
        (b"/annex/objects/MD5-s1024--5d41402abc4b2a76b9719d911017c592\n", "is a git-annex pointer, not the"),
        (b"../.git/annex/objects/zf/K2/MD5-s10--5d41/MD5-s10--5d41", "is a git-annex pointer, not the file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "is a Git LFS pointer, not the"),
        (b"Too many requests", "is a text file"),
        (b"", "is an empty file"),
        (tar(), "is a tar archive"),
        (np.random.default_rng(0).bytes(50_000), "is a file of unknown kind"),
        (empty_zip(), "is a zip archive without files"),
    ],
)
def test_what_is_no_scan_is_refused_at_once(get, server, folder, body, message):
    server.content = body
    with pytest.raises(InputError, match=message):
        get()
    assert len(server.requests) == 1
    assert not (folder / "scan.zip").exists()


def test_a_page_in_place_of_the_rest_costs_nothing(get, server, folder):
    """A server under maintenance says so with status 200."""
    server.script = [server.answer(limit=HALF), server.status(200, b"<html>Back soon</html>", ETag='"page"')]
    with pytest.raises(InputError, match="is an HTML page"):
        get()
    get()
    assert server.ranges == [None] + 2 * [f"bytes={HALF}-"]
    assert server.sent[-1] == len(CONTENT) - HALF
    assert_whole(folder)


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_refusal_ends_it_at_once(get, server, folder, code):
    server.script = [server.status(code, b"<html>")]
    with pytest.raises(InputError, match=f"scan.zip: the server says {code} .*; expected the file"):
        get()
    assert len(server.requests) == 1
    assert names(folder) == []


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_again(get, server, folder, code):
    server.script = [server.answer(limit=HALF), server.status(code), server.status(code)]
    get()
    assert server.ranges == [None] + 3 * [f"bytes={HALF}-"]
    assert_whole(folder)


def test_a_server_always_in_trouble_is_given_up(get, server, folder):
    server.script = [server.status(503)] * 9
    with pytest.raises(InputError, match="HTTP 503 Service Unavailable, 4 times in a row"):
        get()
    assert len(server.requests) == 4
    assert names(folder) == []


def test_nobody_answers(tmp_path, server):
    url = server.url()
    server.server_close()
    with pytest.raises(InputError, match=r"the connection broke \(.*refused.*\), 4 times in a row"):
        obtain(url, tmp_path, waits=WAITS)


def test_the_waits_grow(get, server, monkeypatch):
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)
    server.script = [server.status(503)] * 3
    get(waits=(1, 5, 20))
    assert slept == [1, 5, 20]


def test_a_stalled_connection_is_left(get, server, folder):
    server.script = [server.stall(HALF)]
    get(timeout=0.3)
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert_whole(folder)


def test_a_redirection_is_followed(get, server, folder):
    elsewhere = server.status(302, Location="/elsewhere/scan.zip")
    server.script = [elsewhere, server.answer(limit=HALF), elsewhere]
    get()
    assert server.ranges == [None, None] + 2 * [f"bytes={HALF}-"]
    assert_whole(folder)


@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://127.0.0.1/scan.zip"])
def test_a_redirection_away_from_http_is_not_followed(get, server, folder, place):
    server.script = [server.status(302, Location=place)] * 9
    with pytest.raises(InputError, match=r"scan\.zip: "):
        get()
    assert not (folder / "scan.zip").exists()


def test_a_leftover_of_unknown_origin_is_not_used(get, server, folder):
    folder.mkdir()
    (folder / "scan.zip.part").write_bytes(OTHER[:HALF])
    get()
    assert server.ranges == [None]
    assert_whole(folder)


@pytest.mark.parametrize(
    "version", ["{}", "[1]", '{"url"', '{"url": "http://127.0.0.1/other", "etag": "\\"1\\""}']
)
def test_a_leftover_of_another_address_is_not_used(get, server, folder, version):
    folder.mkdir()
    (folder / "scan.zip.part").write_bytes(OTHER[:HALF])
    (folder / "scan.zip.part.json").write_text(version)
    get()
    assert server.ranges == [None]
    assert_whole(folder)


def test_a_killed_download_goes_on_where_it_was(get, server, folder, wait_until):
    server.script = [server.stall(HALF)]
    code = f"from neuroreg.download.obtain import obtain; obtain({server.url()!r}, {str(folder)!r})"
    process = subprocess.Popen([sys.executable, "-c", code])
    part = folder / "scan.zip.part"
    wait_until(lambda: part.exists() and part.stat().st_size == HALF)
    process.send_signal(signal.SIGKILL)
    process.wait()
    get()
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert_whole(folder)


def test_two_processes_do_not_write_the_same_file(get, folder, server):
    folder.mkdir()
    with (folder / "scan.zip.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InputError, match=r"scan\.zip\.part: another process is writing to it"):
            get()
    assert server.requests == []


def test_a_folder_that_cannot_be_written_is_named(get, folder):
    folder.write_text("a file")
    with pytest.raises(InputError, match=r"cannot be written \((File exists|Not a directory)\)"):
        get()


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_the_final_name_stands_for_the_whole_file(get, server, folder, seed):
    """Any order of troubles: under the final name there is nothing, or one of the versions as a whole."""
    rng = np.random.default_rng(seed)

    def change(handler):
        server.content, server.headers = OTHER, {"ETag": '"2"'}
        server.answer()(handler)

    def reset(handler):
        handler.connection.close()

    def trouble():
        limit = int(rng.integers(0, len(CONTENT)))
        return [
            server.answer(limit=limit),
            server.answer(limit=limit, ranges=False),
            server.answer(length=limit),
            server.answer(limit=limit, etags=False),
            server.status(503),
            server.status(416),
            server.status(404),
            server.status(200, b"<html>"),
            without_length(chunked=False, limit=limit),
            without_length(chunked=True, limit=limit),
            change,
            reset,
        ][rng.integers(12)]

    server.script = [trouble() for _ in range(rng.integers(1, 12))]
    server.watch = lambda: seen.append((folder / "scan.zip").exists())
    seen = []
    for _ in range(20):
        try:
            get()
        except InputError:
            assert not (folder / "scan.zip").exists()
        else:
            break
    assert not any(seen)
    assert (folder / "scan.zip").read_bytes() in (CONTENT, OTHER)


def test_a_replaced_file_is_noticed(get, server, folder):
    get()
    path = folder / "scan.zip"
    path.write_bytes(OTHER)
    with pytest.raises(InputError, match=r"scan\.zip: SHA-256 .*; expected .* so it was replaced or damaged"):
        get()
    path.unlink()
    get()
    assert_whole(folder)
    path.write_bytes(OTHER)
    (folder / "scan.zip.sha256").unlink()
    get()
    assert_whole(folder, OTHER)
    assert len(server.requests) == 2


def test_a_damaged_byte_is_noticed(get, folder):
    get()
    damaged = bytearray(CONTENT)
    damaged[70_000] ^= 1
    (folder / "scan.zip").write_bytes(damaged)
    with pytest.raises(InputError, match="replaced or damaged"):
        get()


def test_a_new_version_under_the_same_address_is_refused(get, server, folder):
    get()
    (folder / "scan.zip").unlink()
    server.content, server.headers = OTHER, {"ETag": '"2"'}
    with pytest.raises(
        InputError, match=r"expected .* from .*scan\.zip\.sha256 \(delete that to take the new"
    ):
        get()
    assert not (folder / "scan.zip").exists()
    (folder / "scan.zip.sha256").unlink()
    get()
    assert_whole(folder, OTHER)
    # The refused file was kept, and nothing of it was sent again.
    assert sum(server.sent) == len(CONTENT) + len(OTHER)


def test_the_checksum_of_the_config_wins(get, server, folder):
    digest = hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(InputError, match=rf"SHA-256 {digest}; expected {'0' * 64} from the key 'sha256'"):
        get(sha256="0" * 64)
    assert not (folder / "scan.zip").exists()
    get(sha256=digest.upper())
    assert server.sent == [len(CONTENT), 0]
    assert_whole(folder)
    (folder / "scan.zip.sha256").write_text(f"{'0' * 64}  scan.zip\n")
    get(sha256=digest)
    assert_whole(folder)
    (folder / "scan.zip").unlink()
    (folder / "scan.zip.sha256").write_text(f"{'0' * 64}  scan.zip\n")
    get(sha256=digest)
    assert_whole(folder)
    with pytest.raises(InputError, match=r"expected 1{64} from the key 'sha256' \(delete the file"):
        get(sha256="1" * 64)


def test_a_spoilt_checksum_file_is_named(get, folder):
    get()
    (folder / "scan.zip.sha256").write_text("?")
    with pytest.raises(InputError, match=r"scan\.zip\.sha256: holds no SHA-256"):
        get()


def test_what_is_there_is_not_downloaded(get, server, folder):
    folder.mkdir()
    (folder / "scan.zip").write_bytes(CONTENT)
    assert get()[1] == hashlib.sha256(CONTENT).hexdigest()
    assert_whole(folder)
    (folder / "mine.zip").write_bytes(b"<html>")
    with pytest.raises(InputError, match=r"mine\.zip: is an HTML page; expected a zip or HDF5"):
        get(file="mine.zip")
    (folder / "cut.h5").write_bytes(hdf5(0)[:-1000])
    with pytest.raises(InputError, match=r"cut\.h5: is a damaged or cut off HDF5 file"):
        get(file="cut.h5")
    assert server.requests == []


def test_an_unpacked_folder_takes_the_place_of_the_file(get, server, folder):
    (folder / "scan" / "data").mkdir(parents=True)
    (folder / "scan" / "data" / "0.npy").write_bytes(b"1")
    path, digest = get(sha256="0" * 64)
    assert path == folder / "scan"
    assert (folder / "scan.sha256").read_text() == f"{digest}  scan\n"
    (folder / "scan" / "data" / "0.npy").write_bytes(b"2")
    with pytest.raises(InputError, match=r"scan: SHA-256 .* replaced or damaged"):
        get()
    assert server.requests == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_only_be_read_is_enough_for_a_file_that_is_there(get, folder):
    folder.mkdir()
    (folder / "scan.zip").write_bytes(CONTENT)
    folder.chmod(0o500)
    assert get()[1] == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize(
    ("url", "name", "expected"),
    [
        ("https://gin.g-node.org/cajal/Sensorium2022/raw/master/static1.zip", None, "static1.zip"),
        ("http://127.0.0.1:80/a/b%2Bc.h5?download=1#top", None, "b+c.h5"),
        ("https://gin.g-node.org/cajal/Lurz2020/archive/master.zip", "lurz.zip", "lurz.zip"),
        ("https://gin.g-node.org/", "lurz.zip", "lurz.zip"),
    ],
)
def test_names_of_files(url, name, expected):
    assert file_name(url, name) == expected


@pytest.mark.parametrize(
    ("url", "name", "message"),
    [
        ("ftp://gin.g-node.org/scan.zip", None, "found 'ftp://gin.g-node.org/scan.zip'; expected an address"),
        ("https://[x/scan.zip", None, "expected a web address"),
        (
            "https://h/Mäuse/a.zip",
            None,
            "blanks and letters beyond ASCII, which stand in one as in '/M%C3%A4use/a",
        ),
        (
            "https://h/my data/a.zip",
            None,
            "without blanks and letters beyond ASCII, which stand in one as in '/my%2",
        ),
        (
            "https://me:pw@h/a.zip",
            None,
            "found an address with a user's name in it; expected one that everybody",
        ),
        (f"https://{'a' * 70}.org/a.zip", None, "expected the name of a server in it"),
        ("http://h:99999/scan.zip", None, "expected a web address"),
        ("file:///data/scan.zip", None, "expected an address that starts with http:// or https://"),
        ("data/scan.zip", None, "expected an address"),
        ("https:///scan.zip", None, "expected an address"),
        ("https://gin.g-node.org/", None, "found the file name ''; expected letters, digits"),
        ("https://gin.g-node.org/a%2Fb", None, "found the file name 'a/b'; expected"),
        ("https://gin.g-node.org/..", None, "found the file name '..'; expected"),
        ("https://gin.g-node.org/scan.zip", "../scan.zip", "found the file name '../scan.zip'; expected"),
        ("https://gin.g-node.org/scan.zip.part", None, "found the file name 'scan.zip.part'; expected"),
    ],
)
def test_addresses_and_names_that_will_not_do(url, name, message):
    with pytest.raises(InputError, match=re.escape(message)):
        file_name(url, name)


# Records of downloads


@pytest.fixture
def record(tmp_path):
    """A record of a file."""
    (tmp_path / "scan.zip").write_bytes(b"PK")
    path = tmp_path / "results" / "scan.json"
    record_download(path, tmp_path / "scan.zip", hashlib.sha256(b"PK").hexdigest(), URL)
    return path


def test_a_record_leads_to_its_file(record, tmp_path):
    assert recorded_file(record) == tmp_path / "scan.zip"


def test_other_paths_stay_what_they_are(tmp_path):
    for name in ("scan.h5", "scan.zip", "folder"):
        assert recorded_file(tmp_path / name) == tmp_path / name


def test_the_same_content_makes_the_same_record(record, tmp_path):
    again = tmp_path / "again.json"
    record_download(again, tmp_path / "scan.zip", hashlib.sha256(b"PK").hexdigest(), URL)
    assert again.read_bytes() == record.read_bytes()


def test_a_file_that_is_gone_or_another_is_refused(record, tmp_path):
    (tmp_path / "scan.zip").write_bytes(b"PK!")
    with pytest.raises(
        InputError, match=rf"scan\.zip: SHA-256 .*; expected .* from {re.escape(str(record))}"
    ):
        recorded_file(record)
    (tmp_path / "scan.zip").unlink()
    with pytest.raises(InputError, match=r"scan\.zip: no such file or folder; expected the download"):
        recorded_file(record)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", r"found \[\]; expected an object"),
        ('{"kind": "scores"}', "is no record of a download"),
        ('{"kind": "download", "path": 5, "sha256": "0"}', "is no record of a download"),
        ("{}", "is no record of a download"),
    ],
)
def test_other_files_are_no_records(record, text, message):
    record.write_text(text)
    with pytest.raises(InputError, match=rf"scan\.json: {message}"):
        recorded_file(record)
