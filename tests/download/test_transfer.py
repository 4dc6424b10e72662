import io
import itertools
import logging
import re

import pytest

from neuroreg.download.transfer import ProgressReport


class Terminal(io.StringIO):
    def isatty(self):
        return True


def arrive(name, done, total, blocks, terminal):
    with ProgressReport(name, done, total, terminal) as progress:
        for block in blocks:
            done += block
            progress.update(done)


@pytest.mark.parametrize(("total", "block"), [(2_000_000, 1_000), (1_999_999, 30_000), (150, 1)])
def test_the_log_tells_every_twentieth(caplog, total, block):
    caplog.set_level(logging.INFO)
    blocks = [block] * (total // block) + [total % block]
    arrive("scan.zip", 0, total, blocks, io.StringIO())
    shares = [int(re.match(r"scan\.zip: (\d+) % of ", record.message)[1]) for record in caplog.records]
    assert 18 <= len(shares) <= 20
    assert all(4 <= after - before <= 7 for before, after in itertools.pairwise(shares))
    assert shares[-1] >= 94


def test_a_continued_download_starts_where_it_was(caplog):
    caplog.set_level(logging.INFO)
    arrive("scan.zip", 1_500_000, 2_000_000, [1_000] * 500, io.StringIO())
    shares = [int(re.match(r"scan\.zip: (\d+) %", record.message)[1]) for record in caplog.records]
    assert shares == [80, 85, 90, 95, 100]


def test_without_a_length_the_log_tells_every_hundred_megabytes(caplog):
    caplog.set_level(logging.INFO)
    arrive("scan.zip", 0, None, [40_000_000] * 10, io.StringIO())
    assert [record.message.split(",")[0] for record in caplog.records] == [
        f"scan.zip: {megabytes}.0 MB" for megabytes in (120, 200, 320, 400)
    ]


def test_a_terminal_gets_one_line_that_is_kept_up_to_date():
    terminal = Terminal()
    arrive("scan.zip", 0, 2_000_000, [1_000] * 2000, terminal)
    *lines, last = terminal.getvalue().split("\r\x1b[K")
    assert re.fullmatch(r"scan\.zip: 100 % of 2\.0 MB, \d+\.\d MB/s, 0:00 left\n", last)
    assert all("\n" not in line for line in lines)


def test_a_file_gets_no_line_of_a_terminal():
    stream = io.StringIO()
    arrive("scan.zip", 0, 2_000_000, [1_000] * 2000, stream)
    assert stream.getvalue() == ""


def test_speed_and_time_left(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    seconds = iter((0.0, 100.0))
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    arrive("scan.zip", 100_000_000, 1_000_000_000, [300_000_000], io.StringIO())
    assert caplog.records[0].message == "scan.zip: 40 % of 1000.0 MB, 3.0 MB/s, 3:20 left"
