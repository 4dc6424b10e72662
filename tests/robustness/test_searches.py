"""One job's searches against each search by itself."""

import inspect
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from attack_problems import balanced_network

from neuroreg.files.records import read_record, write_record
from neuroreg.files.resume import ResumeFile
from neuroreg.images.classification import ClassificationData
from neuroreg.robustness.attack_result import AttackResult
from neuroreg.robustness.attacks.registry import find_method
from neuroreg.robustness.evaluation import to_input
from neuroreg.robustness.minimal_distance import choose_samples, search
from neuroreg.robustness.searches import search_attacks
from neuroreg.training.checkpoints import load_model, save_model

ATTACKS = [
    {"name": "one", "method": "ddn", "settings": [{"steps": 10}]},
    {"name": "two", "method": "brendel_bethge_l2", "settings": [{"steps": 10}]},
    {"name": "three", "method": "brendel_bethge_linf", "settings": [{"steps": 10}]},
]
OPTIONS = {"repetitions": 2, "seed": 1, "batch_size": 8, "logit_margin": 4.0}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A random ResNet with balanced logits, and images that it is right about."""
    folder = tmp_path_factory.mktemp("searches")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 4, 4), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    model, labels = balanced_network(to_input(images))
    classes = np.array(list("abcdefghij"), dtype=np.str_)
    save_model(folder / "model.safetensors", model, {}, classes)
    data = ClassificationData(images, labels.numpy(), images, labels.numpy(), classes)
    write_record(folder / "data.h5", data)
    return folder / "model.safetensors", folder / "data.h5"


def test_a_jobs_searches_find_what_each_search_finds_by_itself(files, tmp_path):
    outputs = [tmp_path / f"{attack['name']}.h5" for attack in ATTACKS]
    search_attacks(*files, outputs, ATTACKS, ["code"] * 3, samples=6, device="cpu", **OPTIONS)
    data = read_record(files[1], ClassificationData)
    sample = choose_samples(data.test_labels, 6, seed=1)
    for attack, output in zip(ATTACKS, outputs, strict=True):
        alone = search(
            load_model(files[0]),
            data.test_images,
            data.test_labels,
            sample,
            method=attack["method"],
            settings=attack["settings"],
            device=torch.device("cpu"),
            **OPTIONS,
        )
        found = read_record(output, AttackResult)
        for norm, distance in alone.distance.items():
            np.testing.assert_array_equal(found.distance[norm], distance)
        np.testing.assert_array_equal(found.passes, alone.passes)
        assert found.logit_factor == alone.logit_factor != 1


@pytest.mark.parametrize("parts", [{}, {"parts": 2, "part": 1}])
def test_a_jobs_searches_run_on_a_gpu(any_gpu, files, tmp_path, parts):
    """With the config's defaults for a GPU; by another number of rows results move by rounding."""
    found = {}
    for device, batch_size in (("cpu", 8), ("cuda", "auto")):
        outputs = [tmp_path / f"{device}_{attack['name']}.h5" for attack in ATTACKS]
        options = OPTIONS | {"batch_size": batch_size, "samples": 6, "device": device} | parts
        with any_gpu() if device == "cuda" else nullcontext() as gpu:
            search_attacks(*files, outputs, ATTACKS, ["code"] * 3, **options)
        found[device] = [read_record(output, AttackResult) for output in outputs]
    assert not gpu.counts.tf32
    for here, there, attack in zip(found["cpu"], found["cuda"], ATTACKS, strict=True):
        assert there.logit_factor == pytest.approx(here.logit_factor, rel=1e-4)
        np.testing.assert_array_equal(there.clean_correct, here.clean_correct)
        distance = [result.distance[find_method(attack["method"]).norm] for result in (here, there)]
        assert np.isfinite(distance[1]).all()
        # Rounding may send a try another way.
        assert np.isclose(*distance, rtol=1e-2).mean() >= 0.5


# What a search is given, but where it runs and what names its files; each with another value.
DECISIVE = OPTIONS | {"samples": 6, "device": "cpu"}
OTHERS = {"repetitions": 1, "seed": 2, "batch_size": 4, "logit_margin": None, "samples": 5}


def test_a_file_is_kept_only_while_all_that_decides_it_stays(files, tmp_path, caplog):
    output, attack = tmp_path / "one.h5", ATTACKS[0]

    def kept(code="code", attack=attack, **changes):
        caplog.clear()
        with caplog.at_level("INFO"):
            search_attacks(*files, [output], [attack], [code], **DECISIVE | changes)
        return "kept" in caplog.text

    assert not kept() and kept()
    for name, value in OTHERS.items():
        assert not kept(**{name: value}), name
        assert not kept(), name
    assert not kept(code="another")
    assert not kept(attack=attack | {"settings": [{"steps": 11}]})


def test_whatever_a_search_is_given_decides_it():
    """So that a new argument is not forgotten where files and unfinished searches are compared with it."""
    given = set(inspect.signature(search_attacks).parameters)
    named = {"model_path", "data_path", "outputs", "attacks", "codes", "parts", "part", "devices"}
    assert given - named == set(DECISIVE) == set(OTHERS) | {"device"}


def test_an_unfinished_search_is_compared_with_all_that_it_was_given(files):
    class Told(ResumeFile):
        def load(self, settings, arrays):
            self.settings = settings
            return super().load(settings, arrays)

    data, told = read_record(files[1], ClassificationData), Told()
    arrays = (data.test_images, data.test_labels, np.arange(2))
    options = OPTIONS | {"method": "ddn", "settings": [{"steps": 2}], "pad": False}
    search(load_model(files[0]), *arrays, device=torch.device("cpu"), resume=told, **options)
    given = set(inspect.signature(search).parameters)
    as_data = {"images", "labels", "sample", "pool"}
    assert given - as_data - {"pool_logits", "resume", "save_every"} == set(told.settings)
