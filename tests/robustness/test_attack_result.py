import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from made_up_tries import CORRECT, SAMPLES, attack_result, tries_of

from neuroreg.errors import InputError
from neuroreg.files.records import read_record, write_record
from neuroreg.robustness.attack_result import (
    NORMS,
    AttackResult,
    closest_adversarials,
    join_runs,
    join_tries,
    setting_costs,
)


def test_a_file_comes_back_as_it_was(tmp_path):
    result = attack_result(5, 3)
    write_record(tmp_path / "a.h5", result, config={"seed": 3})
    back = read_record(tmp_path / "a.h5", AttackResult)
    assert back.settings == result.settings
    for name in ("sample", "label", "clean", "clean_correct", "passes", "verified", "not_finite"):
        assert np.array_equal(getattr(back, name), getattr(result, name))
        assert getattr(back, name).dtype == getattr(result, name).dtype
    for name in ("distance", "best_adversarial", "predicted", "found_by"):
        for norm in NORMS:
            assert np.array_equal(getattr(back, name)[norm], getattr(result, name)[norm])


def test_a_file_that_lacks_something_is_refused(tmp_path):
    write_record(tmp_path / "a.h5", attack_result(5, 3))
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["found_by/l2"]
    with pytest.raises(InputError, match=r"a\.h5: no dataset 'found_by/l2'"):
        read_record(tmp_path / "a.h5", AttackResult)


def saved(tmp_path, **results):
    paths = [tmp_path / f"{name}.h5" for name in results]
    for path, result in zip(paths, results.values(), strict=True):
        write_record(path, result)
    return paths, list(results)


def test_closest_over_all_attacks(tmp_path):
    results = {"ddn": attack_result(0, 3), "pgd": attack_result(1, 1), "cw": attack_result(2, 2)}
    paths, names = saved(tmp_path, **results)
    found = closest_adversarials(paths, names)
    for norm in NORMS:
        for sample in range(SAMPLES):
            smallest = {name: result.distance[norm][..., sample].min() for name, result in results.items()}
            fewer = [
                value
                for result in results.values()
                for setting in result.distance[norm][..., sample]
                for value in setting[:-1]
            ]
            assert found.distance[norm][sample] == min(smallest.values())
            assert found.without_last[norm][sample] == min(fewer)
            if sample == 4:
                assert found.predicted[norm][4] == -1
                assert found.attack[norm][4] == ""
                assert np.isnan(found.adversarial[norm][4]).all()
                continue
            winner = min(smallest, key=smallest.get)
            assert found.attack[norm][sample] == (winner if CORRECT[sample] else "")
            assert found.predicted[norm][sample] == results[winner].predicted[norm][sample]
            assert np.array_equal(
                found.adversarial[norm][sample], results[winner].best_adversarial[norm][sample]
            )
    alone = closest_adversarials(paths[1:2], ["pgd"])
    assert np.isinf(alone.without_last["l2"]).all()


def test_no_files_are_refused():
    with pytest.raises(InputError, match="no attack files"):
        closest_adversarials([], [])


def test_settings_of_all_attacks_follow_each_other(tmp_path):
    one, two = attack_result(0, 3), attack_result(1, 3)
    tries = join_tries(*saved(tmp_path, pgd=one, ddn=two))
    assert tries.attack == ("pgd", "pgd", "ddn", "ddn")
    assert [json.loads(text) for text in tries.setting] == [*one.settings, *two.settings]
    assert np.array_equal(tries.correct, one.clean_correct)
    for norm in NORMS:
        assert np.array_equal(tries.distance[norm][:2], one.distance[norm])
        assert np.array_equal(tries.distance[norm][2:], two.distance[norm])
    assert np.array_equal(tries.passes[2:], two.passes)


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    paths, names = saved(tmp_path, pgd=attack_result(0, 3), ddn=attack_result(1, 2))
    with pytest.raises(InputError, match=r"ddn\.h5: 2 repetitions; expected 3 as in .*pgd\.h5"):
        join_tries(paths, names)
    other = attack_result(1, 3)
    paths, names = saved(tmp_path, pgd=attack_result(0, 3), ddn=replace(other, label=other.label + 1))
    with pytest.raises(InputError, match=r"ddn\.h5: samples or labels differ"):
        join_tries(paths, names)
    with pytest.raises(InputError, match="no attack files"):
        join_tries([], [])


def test_runs_have_the_files_that_follow_each_other(tmp_path):
    paths, _ = saved(tmp_path, **{name: attack_result(seed) for seed, name in enumerate("abcd")})
    runs, attacks = [("none", 1), ("neural", 1)], ["pgd", "ddn"]
    for join in (join_tries, closest_adversarials):
        found = join_runs(paths, runs, attacks, join)
        assert list(found) == runs
        for run, files in zip(runs, (paths[:2], paths[2:]), strict=True):
            for norm in NORMS:
                assert np.array_equal(found[run].distance[norm], join(files, attacks).distance[norm])


def test_costs_are_means_over_attacked_samples_of_all_runs():
    one = tries_of((3, 2, 4), correct=[True, False, False, True], passes=[10, 1, 5])
    two = tries_of((3, 2, 4), correct=[True, True, True, True], passes=[40, 1, 5])
    assert setting_costs({("a", 1): one, ("b", 1): two}).tolist() == [30, 1, 5]
    nobody = tries_of((3, 2, 4), correct=[False] * 4)
    assert np.isnan(setting_costs({("a", 1): nobody})).all()


def test_runs_of_other_settings_are_refused():
    one = tries_of((3, 2, 4))
    for other in (replace(one, setting=(*one.setting[:2], "{}")), tries_of((3, 1, 4))):
        with pytest.raises(InputError, match="of b, seed 2 differ from those of a, seed 1"):
            setting_costs({("a", 1): one, ("b", 2): other})
    with pytest.raises(InputError, match="no models"):
        setting_costs({})
