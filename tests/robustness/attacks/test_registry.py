import re

import pytest

from neuroreg.errors import InputError
from neuroreg.robustness.attacks import registry

STEPS = {"steps": (20, 1, 1000, "steps")}


@pytest.fixture
def families(tmp_path, monkeypatch):
    """Read the families of a folder, of which one is what a test writes."""
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "registry.py"))

    def read(text):
        (tmp_path / "own.py").write_text(text)
        return registry._read_families()

    return read


def test_an_attack_is_like_another_but_for_what_it_says(families, tmp_path):
    (tmp_path / "zigzag.py").write_text(
        f"METHODS = {{'zigzag': {{'norm': 'l1', 'needs_starting_points': True, 'settings': {STEPS!r}}}}}\n"
    )
    methods = families(
        "METHODS = {'far': {'like': 'near', 'settings': {'noise': (0.5, 0.0, 1.0, 'noise')}},\n"
        "           'near': {'like': 'zigzag', 'norm': 'l2', 'settings': {'steps': (5, 1, 9, 'few')}}}\n"
    )
    assert list(methods) == ["far", "near", "zigzag"]
    few, noise = registry.Setting(5, 1, 9, "few"), registry.Setting(0.5, 0.0, 1.0, "noise")
    assert methods["near"] == registry.AttackMethod("own", "l2", "l2", {"steps": few}, True)
    assert methods["far"] == registry.AttackMethod("own", "l2", "l2", {"steps": few, "noise": noise}, True)
    assert methods["zigzag"].module == "zigzag"


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (7, "found 7"),
        ({"norm": "l2", "settings": 7}, "found {'norm': 'l2', 'settings': 7}"),
        ({"settings": STEPS}, "norm None, not one of l0, l1, l2, linf"),
        ({"norm": "L2"}, "norm 'L2', not one of"),
        ({"like": "pgdd"}, "like 'pgdd', which is no other method"),
        ({"like": "own"}, "like 'own', which is no other method"),
        ({"norm": "l2", "need_starting_points": True}, "unknown key 'need_starting_points'"),
        ({"norm": "l2", "needs_starting_points": "yes"}, "needs_starting_points 'yes'"),
        ({"norm": "l2", "settings": {"steps": 7}}, "setting 'steps' 7"),
        ({"norm": "l2", "settings": {"steps": (20, 1, 1000)}}, "setting 'steps' (20, 1, 1000)"),
        ({"norm": "l2", "settings": {"steps": (True, 1, 2, "")}}, "setting 'steps' (True"),
        ({"norm": "l2", "settings": {"steps": ("20", 1, 1000, "steps")}}, "setting 'steps' ('20'"),
        ({"norm": "l2", "settings": {"steps": (2000, 1, 1000, "steps")}}, "setting 'steps' (2000"),
    ],
)
def test_an_entry_that_does_not_say_what_an_attack_is_is_refused(families, entry, found):
    with pytest.raises(InputError, match=rf"^attacks: METHODS of own\.py has 'own': {re.escape(found)}"):
        families(f"METHODS = {{'own': {entry!r}}}\n")


def test_attacks_that_are_like_each_other_are_refused(families):
    with pytest.raises(InputError, match="'b': like 'a', which is no other method"):
        families("METHODS = {'a': {'like': 'b'}, 'b': {'like': 'a'}}\n")


def test_a_family_without_run_is_refused_by_name():
    with pytest.raises(InputError, match=r"boundary_step\.py: no function 'run'; expected run\("):
        registry.AttackMethod("boundary_step", "l2", "l2", {}).load()
