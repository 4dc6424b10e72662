import numpy as np
import pytest
from made_up_tries import CORRECT, SAMPLES, attack_result

from neuroreg.errors import InputError
from neuroreg.files.records import write_record
from neuroreg.robustness.attack_result import NORMS, closest_adversarials


def test_closest_over_all_attacks(tmp_path):
    results = {"ddn": attack_result(0, 3), "pgd": attack_result(1, 1), "cw": attack_result(2, 2)}
    paths = [tmp_path / f"{name}.h5" for name in results]
    for path, result in zip(paths, results.values(), strict=True):
        write_record(path, result)
    found = closest_adversarials(paths, list(results))
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
