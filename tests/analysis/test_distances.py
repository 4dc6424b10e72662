import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from made_up_tries import CORRECT, SAMPLES, attack_result

from neuroreg.analysis.distances import collect_distances
from neuroreg.errors import InputError
from neuroreg.files.records import write_record


@pytest.fixture
def files(tmp_path):
    entries, results = [], {}
    for number, (model, seed) in enumerate([("none", 0), ("none", 1), ("neural", 0)]):
        for offset, attack in enumerate(["ddn", "pgd"]):
            path = tmp_path / model / f"seed{seed}" / f"{attack}.h5"
            result = attack_result(10 * number + offset, settings=1 + offset, failing=0.3)
            write_record(path, result)
            entries.append((model, seed, attack, path))
            results[model, seed, attack] = result
    return entries, results


def farthest(image, norm):
    """The distance to the corner of the cube of images that is farthest, by numpy's norms."""
    pixels = image.ravel() / 255
    corner = (pixels < 0.5).astype(float)
    return np.linalg.norm(corner - pixels, {"l0": 0, "l1": 1, "l2": 2, "linf": np.inf}[norm])


def test_minimum_and_who_found_it(files):
    entries, results = files
    table = collect_distances(entries)
    clean = results["none", 0, "ddn"].clean
    assert list(table.columns) == [
        "model",
        "seed",
        "sample",
        "label",
        "correct",
        "norm",
        "distance",
        "largest",
        "attack",
    ]
    assert len(table) == 3 * 4 * SAMPLES
    for row in table.itertuples():
        index = row.sample // 3
        assert row.label == index
        assert row.largest == pytest.approx(farthest(clean[index], row.norm))
        assert row.correct == CORRECT[index]
        best, finder = np.inf, ""
        for attack in ("ddn", "pgd"):
            for per_setting in results[row.model, row.seed, attack].distance[row.norm]:
                for per_repetition in per_setting:
                    if per_repetition[index] < best:
                        best, finder = float(per_repetition[index]), attack
        assert row.distance == best
        assert row.attack == (finder if row.correct else "")
    assert (table.loc[~table["correct"], "distance"] == 0).all()
    assert np.isinf(table.loc[table["sample"] == 12, "distance"]).all()


def test_stronger_attacks_have_columns_of_their_own(files):
    entries, results = files
    alone = collect_distances([entry for entry in entries if entry[2] == "ddn"])
    table = collect_distances(entries, ["pgd"])
    columns = list(alone.columns)
    assert list(table.columns) == [*columns, "distance_pgd", "tightened", "tightened_by"]
    assert table[columns].equals(alone)
    closer = 0
    for row in table.itertuples():
        values = results[row.model, row.seed, "pgd"].distance[row.norm][..., row.sample // 3]
        assert row.distance_pgd == values.min()
        assert row.tightened == min(row.distance, row.distance_pgd)
        better = row.distance_pgd < row.distance
        assert row.tightened_by == ("pgd" if better else row.attack)
        closer += better
    assert 0 < closer < len(table)


def test_stronger_attacks_on_other_samples_are_refused(files, tmp_path):
    entries, results = files
    other = results["none", 1, "pgd"]
    write_record(tmp_path / "other.h5", replace(other, sample=other.sample + 1))
    with pytest.raises(InputError, match=r"other\.h5: samples or labels differ"):
        collect_distances([*entries, ("none", 1, "fab", tmp_path / "other.h5")], ["fab"])
    with pytest.raises(InputError, match="no attack files"):
        collect_distances([*entries, ("shuffle", 1, "fab", tmp_path / "other.h5")], ["fab"])


@pytest.mark.parametrize("name", ["sample", "label"])
def test_files_of_other_samples_are_refused(files, tmp_path, name):
    entries, results = files
    other = results["none", 1, "pgd"]
    write_record(tmp_path / "other.h5", replace(other, **{name: getattr(other, name) + 1}))
    with pytest.raises(InputError, match=r"other\.h5: samples or labels differ"):
        collect_distances([*entries, ("neural", 1, "pgd", tmp_path / "other.h5")])


def test_attacks_on_another_model_are_refused(files, tmp_path):
    entries, results = files
    write_record(tmp_path / "other.h5", replace(results["none", 1, "pgd"], clean_correct=~CORRECT))
    with pytest.raises(InputError, match=r"other\.h5: the correct clean samples differ"):
        collect_distances([*entries, ("neural", 0, "cw", tmp_path / "other.h5")])
    # On a model of its own it is fine.
    collect_distances([*entries, ("shuffle", 0, "cw", tmp_path / "other.h5")])


def test_no_files_are_refused():
    with pytest.raises(InputError, match="no attack files"):
        collect_distances([])


def test_distances_and_settings_need_no_torch():
    code = (
        "import sys, neuroreg.analysis.distances, neuroreg.robustness.attacks.registry as r;"
        "r.complete_setting('ddn', {'steps': 3});"
        "sys.exit(any(name in sys.modules for name in ('torch', 'foolbox', 'numba')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
