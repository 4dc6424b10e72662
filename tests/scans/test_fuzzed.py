"""Scans with bytes changed at random through the readers: read, or refused in a sentence that names them."""

import os
import random
import subprocess
import sys

import bad_scans
import pytest

# In a process of its own, which a crash of libhdf5 would end.
FUZZ = """
import random, sys, time
from pathlib import Path
from bad_scans import sentence_of

path, seed, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
good, tried, refused, end = path.read_bytes(), 0, 0, time.monotonic() + seconds
while time.monotonic() < end:
    rng = random.Random(f"{seed} {tried}")
    data = bytearray(good)
    # Structures stand at the beginning of HDF5 and at the end of a zip; elsewhere values are hit.
    begin, stop = rng.choice([(0, len(good)), (0, 2000), (len(good) - 2000, len(good))])
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        data[rng.randrange(max(begin, 0), stop)] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
    if rng.random() < 0.2:
        del data[rng.randrange(len(data)) :]
    path.write_bytes(data)
    print(tried, flush=True)
    refused += sentence_of(path) is not None
    tried += 1
print(f"refused {refused}")
"""


def fuzz(path, seed, seconds):
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, str(path), str(seed), str(seconds)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=seconds + 60,
    )
    assert done.returncode == 0, f"case {done.stdout.split()[-1]} of seed {seed}: {done.stderr[-3000:]}"
    assert int(done.stdout.split()[-1]) > 0


@pytest.mark.parametrize("form", ["hdf5", "zipped"])
def test_changed_bytes_are_read_or_refused_in_a_sentence(tmp_path, form):
    fuzz(getattr(bad_scans, form)(tmp_path), 1, 3)


@pytest.mark.soak
@pytest.mark.parametrize("form", ["hdf5", "zipped"])
def test_changed_bytes_for_two_minutes(tmp_path, form):
    fuzz(getattr(bad_scans, form)(tmp_path), random.randrange(10**6), 120)
