import json
from dataclasses import replace

import numpy as np
import pytest
from made_up_tries import attack_result, tries_of

from neuroreg.errors import InputError
from neuroreg.files.records import write_record
from neuroreg.robustness.attack_result import NORMS, join_tries, setting_costs


def saved(tmp_path, **results):
    paths = [tmp_path / f"{name}.h5" for name in results]
    for path, result in zip(paths, results.values(), strict=True):
        write_record(path, result)
    return paths, list(results)


def test_settings_of_all_attacks_follow_each_other(tmp_path):
    one, two = attack_result(0, 3), attack_result(1, 3)
    tries = join_tries(*saved(tmp_path, pgd=one, ddn=two))
    assert tries.attack == ("pgd", "pgd", "ddn", "ddn")
    assert [json.loads(text) for text in tries.setting] == [*one.settings, *two.settings]
    assert np.array_equal(tries.correct, one.clean_correct)
    for norm in NORMS:
        assert np.array_equal(tries.distance[norm][:2], one.distance[norm])
        assert np.array_equal(tries.distance[norm][2:], two.distance[norm])
    assert np.array_equal(tries.queries[2:], two.queries)


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


def test_costs_are_means_over_attacked_samples_of_all_runs():
    one = tries_of((3, 2, 4), correct=[True, False, False, True], queries=[10, 1, 5])
    two = tries_of((3, 2, 4), correct=[True, True, True, True], queries=[40, 1, 5])
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
