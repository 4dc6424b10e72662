"""What YAML makes of what users write, from their text to the sentence."""

import copy
import json
import re

import pytest
import yaml
from command_line import snakemake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroreg.errors import InputError
from neuroreg.workflow.config import validate_config
from neuroreg.workflow.yaml_checks import check_text, check_types


@pytest.mark.parametrize(
    ("text", "key", "first", "second"),
    [
        ("training: {epochs: 3}\nseed: 1\ntraining:\n  batch_size: 4\n", "training", 1, 3),
        ("models:\n- name: a\n  alpha: 1\n  name: b\n", "models[0].name", 2, 4),
        ('{"seed": 1,\n "noise": {"draws": 1,\n "draws": 2}}', "noise.draws", 2, 3),
        ("seed: 1\n'seed': 1\n", "seed", 1, 2),
        ("a: &x {b: 1,\n b: 2}\nc: *x\n", "a.b", 1, 2),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_both_lines(tmp_path, text, key, first, second):
    path = tmp_path / "my.yaml"
    path.write_text(text)
    message = f"{path}: config key '{key}' in line {first} and again in line {second}; expected it once."
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        check_text(path)


def test_keys_that_stand_once_pass(tmp_path, root):
    path = tmp_path / "my.yaml"
    aliases = (
        "a: &a {x: 1}\nb: &b {y: 1}\nc:\n  <<: *a\n  <<: *b\nd: &d [*a, *a]\ne: [*d, *d]\n1: {}\n'1': {}\n"
    )
    for text in ("", "training: {epochs: 1}\nnoise: {epochs: 1}", aliases, "\ufeffseed: 1"):
        path.write_text(text, encoding="utf-8")
        check_text(path)
    for each in [root / "config.yaml", *(root / "configs").glob("*.yaml")]:
        check_text(each)


def test_what_is_no_text_or_no_yaml_is_told(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("seed: 1\n", encoding="utf-16")
    with pytest.raises(
        InputError, match=r"my\.yaml: text that is not UTF-8; expected a config saved as UTF-8"
    ):
        check_text(path)
    path.write_text("seed: 1\n\tnoise: {}\n")
    with pytest.raises(InputError, match=r"my\.yaml: neither YAML nor JSON \(line 2\)"):
        check_text(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "models: [{name: 2024-01-01}]",
            "config key 'models[0].name': found a date, \"2024-01-01\"; expected text or a number "
            "(write it in quotes, if it is meant as text).",
        ),
        (
            "scans: [{name: a, path: 2024-01-01 10:00:00}]",
            "config key 'scans[0].path': found a date and time, \"2024-01-01 10:00:00\"; expected text or a "
            "number (write it in quotes, if it is meant as text).",
        ),
        (
            "adversarial: {attacks: [{name: pgd, method: pgd, settings: [{5: 1, a: 2}]}]}",
            "config key 'adversarial.attacks[0].settings[0]': found the key 5, a whole number; expected text "
            "(write it in quotes).",
        ),
        ("{5: 1, a: 2}", "config: found the key 5, a whole number; expected text (write it in quotes)."),
        (
            "noise: {on: 1}",
            "config key 'noise': found the key true, true or false; expected text (write it in quotes).",
        ),
        (
            "noise: {null: 1}",
            "config key 'noise': found the key null, null; expected text (write it in quotes).",
        ),
        (
            "noise: {draws: !!set {a, b}}",
            "config key 'noise.draws': found a set, ",
        ),
        ("seed: !!binary aGVsbG8=", "config key 'seed': found binary data, "),
        (
            "scans: &x [*x]",
            "config key 'scans[0][0]': more than 40 levels or 100000 values below it; expected no alias that "
            "holds itself or many others.",
        ),
    ],
)
def test_what_only_yaml_has_is_named(text, sentence):
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}"):
        check_types(yaml.safe_load(text))


def test_many_aliases_of_aliases_end_at_once():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(InputError, match="more than 40 levels or 100000 values"):
        check_types(yaml.safe_load("\n".join(lines)))


def places(value, path=()):
    """Yield the path of everything in a config."""
    if path:
        yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from places(part, (*path, name))


SCALARS = st.sampled_from(
    [
        *(
            "2024-01-01",
            "12:30:00",
            "1e5",
            "0x10",
            "010",
            "1_000",
            "~",
            "yes",
            "off",
            "on",
            ".inf",
            "-.inf",
            ".nan",
        ),
        *(
            "''",
            "' '",
            "[]",
            "{}",
            "{5: 1, a: 2}",
            "{a: {1: 2}}",
            "[[]]",
            "[null]",
            "{null: null}",
            "-1",
            "0",
            "1.5",
        ),
        *(
            "9" * 400,
            "1.0e+400",
            "-0.0",
            "'{}'",
            "'{x}'",
            "'%s'",
            "'../x'",
            "'/dev/null'",
            '"\\0"',
            '"\\ud800"',
            "'$'",
        ),
        *(
            "!!binary aGVsbG8=",
            "!!set {a}",
            "!!omap [a: 1]",
            "!!timestamp 2024-01-01",
            "[1, a, 2024-01-01]",
            "'神经'",
        ),
    ]
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_value_anywhere_passes_or_is_refused_in_a_sentence(config, data):
    config = copy.deepcopy(config)
    path = data.draw(st.sampled_from(list(places(config))))
    value = yaml.safe_load(
        data.draw(SCALARS | st.text(st.characters(codec="utf-8"), max_size=8).map(json.dumps))
    )
    place = config
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    try:
        validate_config(config)
    except InputError as error:
        sentence = str(error)
        assert sentence.startswith("config") and sentence.endswith((".", "?")) and "\n" not in sentence


def test_names_that_some_file_systems_take_for_one_are_refused(config):
    config["models"][1]["name"] = config["models"][0]["name"].upper()
    with pytest.raises(InputError, match="'none' and 'NONE' differ by capital letters only"):
        validate_config(config)


def test_a_name_too_long_for_a_file_is_refused(config):
    config["scans"][0]["name"] = "x" * 101
    with pytest.raises(InputError, match=r"'scans\[0\].name': found 101 characters; expected at most 100"):
        validate_config(config)


@pytest.mark.parametrize(("value", "shown"), [(5, "5"), (False, "false"), (1.5, "1.5")])
def test_text_that_yaml_reads_as_something_else_is_told_how_to_write(config, value, shown):
    config["models"][0]["name"] = value
    message = rf"'models\[0\].name': found {re.escape(shown)}; expected string \(write it in quotes\)"
    with pytest.raises(InputError, match=message):
        validate_config(config)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "training: {epochs: 1}\ntraining: {batch_size: 8}",
            "config key 'training' in line 1 and again in line 2;",
        ),
        ("scans: [{name: 2024-01-01}]", "config key 'scans[0].name': found a date,"),
        ("adversarial: {5: 1, a: 2}", "config key 'adversarial': found the key 5, a whole number;"),
        ("scans: &x [*x]", "config key 'scans[0][0]': more than 40 levels"),
        ('{"seed": 1, "seed": 2}', "config key 'seed' in line 1 and again in line 1;"),
        ("seed: ", "config key 'seed': found null; expected integer."),
    ],
)
def test_the_command_line_shows_the_sentence_alone(tmp_path, root, text, sentence):
    (tmp_path / "my.yaml").write_text(text)
    done = snakemake(root, tmp_path, "-n", configs=(tmp_path / "my.yaml",))
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ") and sentence in last
    assert "Traceback" not in done.stderr
    assert [file.name for file in tmp_path.iterdir() if file.name != ".snakemake"] == ["my.yaml"]
