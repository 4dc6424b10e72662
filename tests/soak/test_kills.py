"""Killed anywhere, and given the same command again: every output is as if nothing had happened."""

import disturbed
import pytest
from disks import fill, small_disk

# Jobs that take a second each, of four rules one after another.
FEW = ("results/overlap.csv", "results/similarity/raw.h5", "results/classification.h5")
KILL, TERM, INT, JOB = disturbed.DISTURBANCES


def test_after_four_ways_to_be_killed_the_same_bytes_are_made(tmp_path):
    undisturbed = disturbed.Place(tmp_path / "undisturbed", *FEW)
    undisturbed.finish()
    place = disturbed.Place(tmp_path / "killed", *FEW)
    happened = disturbed.disturbed(place, (KILL, INT, JOB, TERM), seed=1, longest=2)
    assert happened
    check(place, undisturbed, happened)


def check(place, undisturbed, happened):
    assert disturbed.differences(place, undisturbed) == []
    left = [path for path in place.results.rglob("*") if "partial" in path.name or "resume" in path.name]
    assert left == []
    for blow in happened:
        assert blow.code != 0
        assert blow.tracebacks == 0, blow.said


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = disturbed.Place(tmp_path_factory.mktemp("undisturbed"))
    place.finish()
    return place


@pytest.fixture(scope="module")
def rows(note):
    """What happened in all tests of this module, a line of the table each; written when they have ended."""
    rows = []
    yield rows
    note("kills", ("seed", "what", "when", "jobs that ran then", "all outputs equal"), rows)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("seed", "kinds", "longest"),
    [
        *((1, (KILL,) * 20, 8), (2, (INT,) * 20, 8), (3, (TERM, INT, JOB, KILL) * 3, 12)),
        *((4, (JOB,) * 8, 12), (5, (TERM,) * 20, 8)),
    ],
)
def test_killed_at_random_moments(tmp_path, undisturbed, rows, seed, kinds, longest):
    place = disturbed.Place(tmp_path)
    happened = disturbed.disturbed(place, kinds, seed, longest)
    same = not disturbed.differences(place, undisturbed)
    for blow in happened:
        rows.append((seed, blow.kind, blow.moment, ", ".join(blow.jobs) or "none", "yes" if same else "no"))
    check(place, undisturbed, happened)


@pytest.mark.soak
def test_a_disk_that_is_full_and_then_freed(tmp_path, undisturbed, rows):
    """Full again and again, each time with more kilobytes for outputs, logs and what Snakemake keeps."""
    happened = []
    with small_disk(tmp_path / "disk", 64_000) as disk:
        place, filler = disturbed.Place(disk), disk / "filler"
        for free in (100, 300, 600, 1000):
            fill(filler, free * 1000)
            code = place.run()
            told = sum(": no space left on its disk" in line for line in place.said.splitlines())
            happened.append(disturbed.Blow("full disk", f"{free} kB free", (told,), place.said, code))
            filler.unlink()
            place.unlock()
        place.finish()
        same = not disturbed.differences(place, undisturbed)
        for blow in happened:
            told = f"{blow.jobs[0]} sentences" if blow.jobs[0] else "Snakemake's own files did not fit"
            rows.append(("", blow.kind, blow.moment, told, "yes" if same else "no"))
        check(place, undisturbed, happened)
