"""The same results from any number of cores, in any folder, from searches in any parts, and after a break."""

from functools import cache

import pytest
import yaml
from contents import contents
from disturbed import TINY, Place, disturbed

INT = "SIGINT, whole group"
FEW = ("results/attacks/none/seed1/pgd.h5", "results/noise/none/seed1.csv")
SMALLEST = {
    "classification": {"train_size": 200, "test_size": 20},
    "training": {"epochs": 1},
    "adversarial": {
        "samples": 4,
        "attacks": [{"name": "pgd", "method": "pgd", "settings": [{"steps": 5, "search_steps": 8}]}],
        "tightening": [],
    },
}


def overlay(folder, name, content):
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_other_cores_another_folder_other_parts_and_a_break_change_no_byte(tmp_path):
    smallest = overlay(tmp_path, "smallest", SMALLEST)
    two, three = (overlay(tmp_path, f"in{n}", {"adversarial": {"parts": n}}) for n in (2, 3))
    plain = Place(tmp_path / "plain", *FEW, configs=(TINY, smallest, two), cores=1)
    plain.finish()
    other = Place(tmp_path / "über den \u795e\u7ecf", *FEW, configs=(TINY, smallest, three), cores=2)
    assert disturbed(other, (INT,), seed=3, longest=4)
    expected = contents(plain.results)
    assert set(FEW) <= {f"results/{name}" for name in expected}
    assert contents(other.results) == expected


# A search that is not split passes rows in batches of other sizes, which changes results by rounding
# (adversarial.parts in docs/config.md): parts are compared with other parts.
VARIANTS = {
    "--cores 2": {"cores": 2},
    "--cores 8": {"cores": 8},
    "searches in 5 parts, beside 2": {"content": {"adversarial": {"parts": 5}}, "against": 2},
    "a job for each attack": {"content": {"adversarial": {"together": False}}},
    "a folder with blanks, braces and other letters": {"folder": "über den \u795e\u7ecf {x}"},
    "after three breaks": {"breaks": (INT, "SIGKILL, whole group", INT)},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What a run on one core makes, by the number of parts of its searches; each is run once."""

    @cache
    def make(parts):
        folder = tmp_path_factory.mktemp("plain")
        place = Place(
            folder / "place",
            configs=(TINY, overlay(folder, "parts", {"adversarial": {"parts": parts}})),
            cores=1,
        )
        place.finish()
        return contents(place.results)

    return make


@pytest.fixture(scope="module")
def rows(note):
    """What was compared, a line of the table each; written when all tests have ended."""
    rows = []
    yield rows
    note("same bytes", ("what was different", "results compared", "all equal"), rows)


@pytest.mark.soak
@pytest.mark.parametrize("name", VARIANTS)
def test_every_result_is_the_same(tmp_path, made, rows, name):
    variant = VARIANTS[name]
    configs = [TINY, overlay(tmp_path, "more", variant.get("content", {}))]
    place = Place(tmp_path / variant.get("folder", "place"), configs=configs, cores=variant.get("cores", 1))
    disturbed(place, variant.get("breaks", ()), seed=5, longest=12)
    plain, found = made(variant.get("against", 1)), contents(place.results)
    different = sorted(name for name in plain.keys() | found.keys() if plain.get(name) != found.get(name))
    rows.append((name, len(plain), "yes" if not different else f"no: {', '.join(different)}"))
    assert different == []
