import copy
import math
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rights import without_rights
from snakemake.utils import update_config

from neuroreg.errors import InputError
from neuroreg.images.classification import SOURCES
from neuroreg.images.photographs import Crop
from neuroreg.images.settings import ClassificationSettings, StimuliSettings
from neuroreg.robustness.attacks.registry import attack_methods
from neuroreg.robustness.noise import CLIPS
from neuroreg.robustness.settings import AttackEntry, NoiseSettings
from neuroreg.scans.missing import Missing
from neuroreg.settings import dotted
from neuroreg.similarity.settings import ReliabilitySettings
from neuroreg.similarity.units import Units
from neuroreg.training.objective import FISHER_Z_SCALE
from neuroreg.training.settings import NetworkSettings, RecipeSettings, TrainingSettings
from neuroreg.workflow.config import Config, check_files, validate_config


def changed(config, key, value):
    """A copy of the config with the value at a dotted key replaced."""
    config = copy.deepcopy(config)
    *path, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    place = config
    for part in path:
        place = place[part]
    place[last] = value
    return config


def test_the_default_is_valid(config):
    validate_config(config)


@pytest.mark.parametrize(
    "overlay", sorted((Path(__file__).parents[2] / "configs").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_overlay_is_valid(config, overlay):
    if overlay.stem in ("public_scans", "tightening"):  # made to be laid over another
        update_config(config, yaml.safe_load(overlay.with_stem("paper").read_text()))
    update_config(config, yaml.safe_load(overlay.read_text()))
    validate_config(config)


def mappings(value, path=()):
    """Yield the paths of all mappings whose keys are checked: of the config, its sections and its entries."""
    if isinstance(value, dict):
        yield path
        for name, part in value.items():
            if name != "settings":  # an attack's, which the attack checks
                yield from mappings(part, (*path, name))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from mappings(part, (*path, index))


@given(st.data())
def test_unknown_keys_are_refused_at_any_depth(default, data):
    config = copy.deepcopy(default)
    path = data.draw(st.sampled_from(list(mappings(config))))
    name = data.draw(st.text("abcxyz_", min_size=12))  # longer than any key but two, which have other letters
    place = config
    for part in path:
        place = place[part]
    place[name] = data.draw(st.none() | st.integers() | st.text() | st.lists(st.integers()))
    key = dotted((*path, name))
    with pytest.raises(InputError, match=f"^config key '{re.escape(key)}': unknown; "):
        validate_config(config)


def test_the_models_name_every_setting_of_the_library():
    recipe = set(NetworkSettings.model_fields) | set(RecipeSettings.model_fields)
    assert recipe == set(TrainingSettings.model_fields)
    assert get_args(AttackEntry.model_fields["method"].annotation) == attack_methods()
    assert get_args(NoiseSettings.model_fields["clip"].annotation) == CLIPS
    assert get_args(ReliabilitySettings.model_fields["units"].annotation) == get_args(Units)
    assert get_args(Config.model_fields["missing"].annotation) == get_args(Missing)
    assert get_args(ClassificationSettings.model_fields["source"].annotation) == SOURCES
    assert get_args(StimuliSettings.model_fields["crop"].annotation) == get_args(Crop)
    assert get_args(RecipeSettings.model_fields["fisher_z"].annotation) == tuple(FISHER_Z_SCALE)


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        TrainingSettings().epochs = 3


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("trainig", {}, "config key 'trainig': unknown; did you mean 'training'?"),
        ("training.epochz", 3, "config key 'training.epochz': unknown; did you mean 'epochs'?"),
        ("noise.zzz", 3, "config key 'noise.zzz': unknown; expected one of: clip, draws, sigmas."),
        ("training.epochs", "ten", "config key 'training.epochs': found \"ten\"; expected integer."),
        (
            "training.learning_rate",
            "1e-5",
            "config key 'training.learning_rate': found \"1e-5\"; expected number "
            "(YAML reads 1e-5 as text: write it with a decimal point, as in 1.0e-5).",
        ),
        (
            "training.epochs",
            "3",
            "config key 'training.epochs': found \"3\"; expected integer (it is text: write it without "
            "quotes; what stands in braces on the command line is text, too, and belongs into an overlay).",
        ),
        ("training.epochs", 0, "config key 'training.epochs': found 0; expected at least 1."),
        ("training.momentum", 1, "config key 'training.momentum': found 1; expected less than 1."),
        ("device", "tpu", 'config key \'device\': found "tpu"; expected one of "cpu", "cuda".'),
        (
            "models.1.name",
            "../up",
            "config key 'models[1].name': found \"../up\"; expected letters, digits, '_' and '-', "
            "starting with a letter or digit.",
        ),
        (
            "noise.clip",
            True,
            "config key 'noise.clip': found true; "
            'expected one of "none", "unit", "image" (true was "unit").',
        ),
        (
            "noise.clip",
            False,
            "config key 'noise.clip': found false; "
            'expected one of "none", "unit", "image" (false was "none").',
        ),
        (
            "noise.clip",
            "range",
            'config key \'noise.clip\': found "range"; expected one of "none", "unit", "image".',
        ),
        ("training.epochs", 10.0, "config key 'training.epochs': found 10.0; expected integer."),
        ("models.2.alpha", math.nan, "config key 'models[2].alpha': found NaN; expected number."),
        ("targets", [], "config key 'targets': found 0 entries; expected at least 1."),
        (
            "sweep.models",
            ["none", "shuffle", "neural"],
            "config key 'sweep.models': 2 models have alpha 20; "
            "expected one for each alpha of Fig. 1 and Table 1.",
        ),
        (
            "sweep.models",
            ["none", "one_scan_a8", "neural"],
            "config key 'sweep.models': they share 'neural' and 'neural_one_scan'; expected one target, "
            "of which Fig. 1 and Table 1 compare alphas.",
        ),
        *(
            ("models.0", {"name": "none", "path": "a.pt2"} | entry, f"config key 'models[0]{sentence}")
            for entry, sentence in (
                ({"alpha": 1.0}, ".alpha': found 1.0; expected nothing beside a path."),
                ({"target": "neural"}, '.target\': found "neural"; expected nothing beside a path.'),
                ({"path": "a.pth"}, '.path\': found "a.pth"; expected a name that ends in .pt2.'),
                (
                    {},
                    ".path': found 'a.pt2' for 3 seeds; expected {seed} in it, since each seed has a network "
                    "of its own.",
                ),
            )
        ),
        (
            "models.0",
            {"name": "none", "path": "{seed}.pt2"},
            "config key 'sweep.models': 'none' has a path; expected models with an alpha, which Fig. 1 and "
            "Table 1 compare.",
        ),
        (
            "models.0",
            {"name": "none", "target": None},
            "config key 'models[0].alpha': missing; expected a value, or the path of a trained network.",
        ),
        (
            "models.0",
            {"name": "none", "target": None, "alpha": None},
            "config key 'models[0].alpha': found null; expected number.",
        ),
        (
            "classification.test_size",
            20,
            "config key 'adversarial.samples': found 28; expected at most classification.test_size, 20.",
        ),
        (
            "adversarial.parts",
            33,
            "config key 'adversarial.parts': found 33; expected at most adversarial.samples, 28.",
        ),
        (
            "scans.0.path",
            "data/mine.h5",
            "config key 'scans[0].path': found \"data/mine.h5\"; "
            "expected nothing, source 'simulated' does not use it.",
        ),
        (
            "adversarial.attacks.3.settings",
            [{"steps": 50}, {"gamma": 0.05, "steps": 50}],
            "config key 'adversarial.attacks[3].settings[1]': the same as settings[0], with the method's "
            "defaults; expected another setting.",
        ),
        ("neurons.areas", [], "config key 'neurons.areas': found 0 entries; expected at least 1."),
        ("neurons.layers", "L4", "config key 'neurons.layers': found \"L4\"; expected array or null."),
        ("neurons.min_oracle", 1.5, "config key 'neurons.min_oracle': found 1.5; expected at most 1."),
        ("neurons.area", ["V1"], "config key 'neurons.area': unknown; did you mean 'areas'?"),
        ("downloads.folder", "", "config key 'downloads.folder': found an empty text; expected a name."),
        (
            "stimuli.scan",
            "simulated1",
            "config key 'stimuli.scan': found \"simulated1\"; "
            "expected nothing, source 'photographs' does not use it.",
        ),
        (
            "classification.path",
            "data/images",
            "config key 'classification.path': found \"data/images\"; "
            "expected nothing, source 'photograph_patches' does not use it.",
        ),
        ("scans", [], "config key 'scans': found 0 entries; expected at least 1."),
        ("sweep.seeds", [1, 1], "config key 'sweep.seeds': found repeated entries; expected each once."),
        (
            "scans.1.name",
            "simulated1",
            "config key 'scans': 2 entries are named 'simulated1'; expected different names.",
        ),
        (
            "scans.0",
            {"name": "mine", "source": "recorded"},
            "config key 'scans[0].path': missing; source 'recorded' needs it.",
        ),
        (
            "scans.0",
            {"name": "mine", "source": "filetree", "path": "data/mine.zip"},
            "config key 'scans[0].source': found \"filetree\"; "
            'expected one of "simulated", "recorded", "download".',
        ),
        (
            "scans.0",
            {"name": "mine", "source": "download"},
            "config key 'scans[0].url': missing; source 'download' needs it.",
        ),
        (
            "scans.0",
            {"name": "mine", "source": "recorded", "path": "mine.zip", "sha256": "0"},
            "config key 'scans[0].sha256': found \"0\"; expected nothing, source 'recorded' does not use it.",
        ),
        (
            "scans.0",
            {"name": "mine", "source": "download", "url": "sftp://example.org/mine.zip"},
            "config key 'scans[0].url': found 'sftp://example.org/mine.zip'; "
            "expected an address that starts with http:// or https://.",
        ),
        (
            "scans.0",
            {"name": "mine", "source": "download", "url": "https://example.org/"},
            "config key 'scans[0].url': found the file name ''; expected letters, digits, '.', '_', '+' and "
            "'-', starting with a letter or digit and not ending in .part or .sha256 "
            "(the key 'file' sets it).",
        ),
        (
            "scans.0",
            {"name": "mine", "source": "download", "url": "https://example.org/mine.zip", "sha256": "abc"},
            "config key 'scans[0].sha256': found \"abc\"; expected 64 hexadecimal digits.",
        ),
        (
            "scans",
            [
                {"name": "simulated1", "source": "download", "url": "https://example.org/1/scan.zip"},
                {"name": "simulated2", "source": "simulated", "n_neurons": 3},
                {"name": "simulated3", "source": "download", "url": "https://example.org/3/scan.zip"},
            ],
            "config key 'scans[2].file': 'scan.zip' is the file of scans[0] as well; expected another name.",
        ),
        ("downloads.folder", None, "config key 'downloads.folder': found null; expected string."),
        (
            "classification.source",
            "cifar10",
            "config key 'classification.path': missing; source 'cifar10' needs it.",
        ),
        (
            "targets.0.scans",
            ["nobody"],
            "config key 'targets[0].scans': 'nobody' is not among the scans; "
            "expected one of: simulated1, simulated2, simulated3.",
        ),
        (
            "targets.2.of",
            "shuffle",
            "config key 'targets[2].of': 'shuffle' is not among the unshuffled targets; "
            "expected one of: neural, neural_one_scan.",
        ),
        (
            "targets.1",
            {"name": "raw", "kind": "raw"},
            "config key 'targets[1].scans': missing; kind 'raw' needs it.",
        ),
        (
            "targets.1",
            {"name": "vgg", "kind": "features", "scans": ["simulated1"]},
            "config key 'targets[1].scans': found [\"simulated1\"]; "
            "expected nothing, kind 'features' does not use it.",
        ),
        (
            "targets.1.weights",
            "vgg19.pth",
            "config key 'targets[1].weights': found \"vgg19.pth\"; "
            "expected nothing, kind 'denoised' does not use it.",
        ),
        (
            "targets.0.kind",
            "vgg",
            "config key 'targets[0].kind': found \"vgg\"; "
            'expected one of "denoised", "raw", "features", "given", "shuffled".',
        ),
        (
            "stimuli.source",
            "union",
            "config key 'scans[0].source': a scan can't be simulated where stimuli.source is 'union'; "
            "expected a recorded scan.",
        ),
        (
            "stimuli.pool_size",
            None,
            "config key 'stimuli.pool_size': found null; expected a number "
            "where stimuli.source is 'photographs'.",
        ),
        (
            "models.2.target",
            "neurall",
            "config key 'models[2].target': 'neurall' is not among the targets; "
            "expected one of: neural, neural_one_scan, shuffle.",
        ),
        (
            "models.0.alpha",
            3.0,
            "config key 'models[0]': target null with alpha 3; "
            "expected a target exactly where alpha is above 0.",
        ),
        (
            "conditions.models",
            ["none", "vgg"],
            "config key 'conditions.models': 'vgg' is not among the models; "
            "expected one of: none, shuffle, neural, one_scan_a2, one_scan_a8, one_scan_a32.",
        ),
        (
            "simulator.noise",
            1.0,
            "config key 'simulator.noise': found single_trial_similarity 0.39, mean_oracle 0.35, noise 1.0, "
            "shared_noise null; expected two numbers and null for the others.",
        ),
        (
            "simulator.single_trial_similarity",
            None,
            "config key 'simulator.noise': found single_trial_similarity null, mean_oracle 0.35, noise null, "
            "shared_noise null; expected two numbers and null for the others.",
        ),
        (
            "stimuli.pool_size",
            10,
            "config key 'stimuli.pool_size': found 10; expected at least 16, "
            "two for each of training.pairs_per_step 8.",
        ),
        (
            "response_model.spread",
            1e39,
            "config key 'response_model.spread': found 1e+39; expected at most 2.",
        ),
        (
            "response_model.largest_shift",
            2.5,
            "config key 'response_model.largest_shift': found 2.5; expected at most 2.",
        ),
        (
            "response_model.spread",
            1e-320,
            "config key 'response_model.spread': found 1e-320; expected at least 1e-06.",
        ),
        (
            "reliability.weight_exponent",
            2000.0,
            "config key 'reliability.weight_exponent': found 2000.0; expected at most 10.",
        ),
        (
            "simulator.noise",
            1e5,
            "config key 'simulator.noise': found 100000.0; expected at most 100.",
        ),
        (
            "simulator.shared_noise",
            1e300,
            "config key 'simulator.shared_noise': found 1e+300; expected at most 100.",
        ),
    ],
)
def test_a_mistake_gets_one_sentence(config, key, value, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        validate_config(changed(config, key, value))


def test_simulated_scans_need_a_larger_pool_than_recorded_ones(config):
    config["training"]["pairs_per_step"] = 4
    validate_config(changed(config, "stimuli.pool_size", 15))
    with pytest.raises(InputError) as refused:
        validate_config(changed(config, "stimuli.pool_size", 14))
    assert str(refused.value) == (
        "config key 'stimuli.pool_size': found 14; expected at least 15, "
        "2 of them in the validation tier of simulated scans."
    )
    for index, scan in enumerate(config["scans"]):
        config["scans"][index] = {"name": scan["name"], "source": "recorded", "path": f"{index}.h5"}
    validate_config(changed(config, "stimuli.pool_size", 8))


def test_a_setting_that_an_attack_lacks_is_named(config):
    wrong = changed(config, "adversarial.attacks.0.settings.0", {"stepz": 3})
    with pytest.raises(InputError, match=r"adversarial.attacks\[0\].settings\[0\].*'stepz' of pgd"):
        validate_config(wrong)


def test_foolboxs_attacks_have_the_settings_of_the_papers_config(root):
    ours, theirs = (
        yaml.safe_load((root / "configs" / f"{name}.yaml").read_text())["adversarial"]["attacks"]
        for name in ("paper", "foolbox")
    )
    settings = [(entry["method"], entry["settings"]) for entry in ours]
    assert [(entry["method"].removeprefix("foolbox_"), entry["settings"]) for entry in theirs] == settings


def test_stronger_attacks_are_checked_like_the_papers(config):
    entry = {"name": "sigma", "method": "sigma_zero", "settings": [{"steps": 5}]}
    validate_config(changed(config, "adversarial.tightening", [entry]))
    wrong = changed(config, "adversarial.tightening", [entry | {"settings": [{}, {"stepz": 3}]}])
    with pytest.raises(InputError, match=r"adversarial.tightening\[0\].settings\[1\].*'stepz' of sigma_zero"):
        validate_config(wrong)
    wrong = changed(config, "adversarial.tightening", [entry | {"method": "sigma"}])
    with pytest.raises(InputError, match=r"adversarial.tightening\[0\].method': found \"sigma\""):
        validate_config(wrong)
    wrong = changed(config, "adversarial.tightening", [entry, entry])
    with pytest.raises(InputError, match=r"adversarial\.tightening': 2 entries are named 'sigma'"):
        validate_config(wrong)
    wrong = changed(config, "adversarial.tightening", [entry | {"name": "pgd"}])
    message = (
        "adversarial.tightening': 'pgd' is the name of an entry of adversarial.attacks; expected another"
    )
    with pytest.raises(InputError, match=message):
        validate_config(wrong)


def test_a_missing_file_of_weights_is_named(config, tmp_path):
    target = {"name": "vgg", "kind": "features"}
    path = tmp_path / "vgg.pth"
    check_files(changed(config, "targets.0", target))
    check_files(changed(config, "targets.0", target | {"weights": None}))
    with pytest.raises(
        InputError, match=r"^config key 'targets\[0\].weights': no file '.*vgg.pth'; expected"
    ):
        check_files(changed(config, "targets.0", target | {"weights": str(path)}))
    path.write_bytes(b"")
    check_files(changed(config, "targets.0", target | {"weights": str(path)}))


@pytest.mark.parametrize("section", ["classification", "stimuli"])
def test_a_missing_folder_of_images_is_named(config, tmp_path, section):
    config[section] |= {"source": "image_folder", "path": str(tmp_path / "absent")}
    expected = rf"^config key '{section}.path': no folder '.*absent'; expected a folder of images\.$"
    with pytest.raises(InputError, match=expected):
        check_files(config)
    config[section]["path"] = str(tmp_path)
    check_files(config)


def test_a_recorded_scan_without_rights_is_named(config):
    with without_rights() as folder:
        path = folder / "mine.h5"
        path.touch()
        config["scans"][0] = {"name": "mine", "source": "recorded", "path": str(path)}
        check_files(config)
        path.chmod(0)
        with pytest.raises(
            InputError, match=r"'scans\[0\].path': no permission to read '.*mine\.h5'; expected"
        ):
            check_files(config)


def test_a_missing_key_is_named(config):
    del config["noise"]["draws"]
    with pytest.raises(InputError, match=r"^config key 'noise.draws': missing; expected a value.$"):
        validate_config(config)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("training.epochs", True, "integer"),
        ("training.learning_rate", True, "number"),
        ("training.learning_rate", math.inf, "number"),
        ("training.horizontal_flip", 1, "boolean"),
        ("response_model.input_kernel", 4, "one of 3, 5, 7, 9, 11, 13, 15"),
        ("response_model.hidden_kernel", True, "integer"),
        ("response_model.input_kernel", 9.0, "integer"),
        ("stimuli.pool_size", 1, "at least 2"),
        ("models.1.label", None, "string"),
        ("network", 3, "object"),
        ("scans.0", "simulated1", "object"),
        ("sweep.seeds.1", "2", "integer"),
    ],
)
def test_yaml_types_are_told_apart(config, key, value, expected):
    with pytest.raises(InputError, match=f"found .*; expected {expected}"):
        validate_config(changed(config, key, value))


def test_a_kind_of_entry_must_be_told(config):
    for entry, message in [
        ({"name": "mine"}, r"'scans\[0\].source': missing; expected a value\.$"),
        ({"name": "mine", "soruce": "recorded"}, r"'scans\[0\].soruce': unknown; did you mean 'source'\?$"),
        ({"source": "recorded", "path": "a"}, r"'scans\[0\].name': missing; expected a value\.$"),
    ]:
        with pytest.raises(InputError, match=message):
            validate_config(changed(config, "scans.0", entry))


@pytest.mark.parametrize(
    "label", ["$5_ or $6", "_shuffle", "神经", "{model} %s", "</script>", "نه\u200cای", "a\u3000b", "x" * 100]
)
def test_any_text_on_one_line_is_a_label(config, label):
    config["models"][1]["label"] = label
    validate_config(config)


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        ("a\nb", 'found "a\\nb"; expected one line of text without control characters.'),
        ("\u202ea", 'found "\\u202ea"; expected one line of text without control characters.'),
        ("\ud800", 'found "\\ud800"; expected text that is whole (it holds half of a character).'),
        (" ", 'found " "; expected a text that can be seen.'),
        ("", 'found ""; expected a text that can be seen.'),
        ("x" * 101, "found 101 characters; expected at most 100."),
        (
            "None",
            "'None' is what figures call the model 'none'; expected another label for 'shuffle'.",
        ),
        (
            " None ",
            "'None' is what figures call the model 'none'; expected another label for 'shuffle'.",
        ),
    ],
)
def test_a_label_that_cannot_be_told_from_others_or_from_nothing_is_refused(config, label, sentence):
    config["models"][1]["label"] = label
    with pytest.raises(InputError) as refused:
        validate_config(config)
    assert str(refused.value) == f"config key 'models[1].label': {sentence}"


def test_labels_are_compared_as_they_are_seen_and_with_names_that_stand_for_them(config):
    config["models"][0]["label"], config["models"][1]["label"] = "\u00e9", "e\u0301"
    with pytest.raises(InputError, match="is what figures call the model 'none'"):
        validate_config(config)
    config["models"][0]["label"] = "shuffle"
    del config["models"][1]["label"]
    with pytest.raises(InputError, match="expected another label for 'shuffle'"):
        validate_config(config)
    config["models"][0]["label"] = "one_scan_a2"
    del config["models"][3]["label"]
    with pytest.raises(InputError, match="expected another label for 'one_scan_a2'"):
        validate_config(config)
    # No figure shows both.
    config["sweep"]["models"].remove("one_scan_a2")
    validate_config(config)


def test_a_setting_larger_than_any_float_is_refused(config):
    config["adversarial"]["attacks"][0]["settings"] = [{"steps": 10**400}]
    with pytest.raises(InputError, match=r"pgd.steps is 10+; expected a whole number from 1 to"):
        validate_config(config)
