import csv
import hashlib
import json

import h5py
import numpy as np
import pandas as pd
import pytest

from neuroreg.errors import InputError
from neuroreg.files.storage import (
    atomic_path,
    digests,
    open_h5,
    read_csv,
    read_json,
    read_strings,
    sha256,
    was_made_from,
    write_csv,
    write_h5,
    write_json,
)


def write(path, **changes):
    arguments = {"datasets": {"a/b": np.arange(6).reshape(2, 3), "key": np.array(["x/1", "ü/2"])}} | changes
    write_h5(path, "scan", **arguments)


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "deep" / "file.h5"
    write(path, config={"alpha": 2.0}, inputs=[__file__])
    with open_h5(path, "scan") as file:
        np.testing.assert_array_equal(file["a/b"][()], [[0, 1, 2], [3, 4, 5]])
        assert read_strings(file["key"]).tolist() == ["x/1", "ü/2"]
        assert json.loads(file.attrs["config"]) == {"alpha": 2.0}
        assert list(json.loads(file.attrs["inputs"]).values()) == [sha256(__file__)]


def test_whether_a_file_was_made_from_this(tmp_path):
    path, source = tmp_path / "file.h5", tmp_path / "source"
    source.write_text("content")
    config = {"alpha": 2.0, "sizes": (1, 2)}
    assert not was_made_from(path, "scan", config=config, inputs=[source])
    write(path, config=config, inputs=[source])
    assert was_made_from(path, "scan", config=config, inputs=[source])
    assert was_made_from(path, "scan", config=dict(reversed(config.items())), inputs=[str(source)])
    assert not was_made_from(path, "model", config=config, inputs=[source])
    assert not was_made_from(path, "scan", config=config | {"alpha": 2.5}, inputs=[source])
    assert not was_made_from(path, "scan", config=config, inputs=[source, __file__])
    source.write_text("Content")
    assert not was_made_from(path, "scan", config=config, inputs=[source])
    source.write_text("content")
    damaged(path)
    assert not was_made_from(path, "scan", config=config, inputs=[source])


def test_same_content_same_bytes(tmp_path):
    write(tmp_path / "one.h5")
    write(tmp_path / "two.h5")
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_a_failed_write_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "file.h5"
    write(path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write(path, datasets={"bad": object()})
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def damaged(path):
    path.write_bytes(path.read_bytes()[:-100])


def foreign(path):
    with h5py.File(path, "w") as file:
        file["x"] = 1


def text(path):
    path.write_text("hello")


def later(path):
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 99


def absent(path):
    path.unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damaged, "is a truncated HDF5 file; expected a neuroreg file of kind 'scan'"),
        (foreign, "has no kind; expected a neuroreg file of kind 'scan'"),
        (text, "is not a readable HDF5 file; expected a neuroreg file of kind 'scan'"),
        (later, "schema version 99; expected version 2"),
        (absent, "no such file; expected a neuroreg file of kind 'scan'"),
    ],
)
def test_another_file_is_refused_by_what_it_is(tmp_path, change, message):
    path = tmp_path / "file.h5"
    write(path)
    change(path)
    with pytest.raises(InputError, match=message), open_h5(path, "scan"):
        pass


def test_another_kind_is_named(tmp_path):
    path = tmp_path / "file.h5"
    write(path)
    expected = "is of kind 'scan'; expected a neuroreg file of kind 'stimuli'"
    with pytest.raises(InputError, match=expected), open_h5(path, "stimuli"):
        pass


def test_json_is_strict(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"a": [1.5, float("nan"), {"b": np.float64("nan")}], "c": (float("nan"), True, "x")})
    expected = {"a": [1.5, None, {"b": None}], "c": [None, True, "x"]}
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == expected
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("inf")})
    assert read_json(path) == expected


def test_json_round_trip_and_refusals(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"b": [1, None], "a": 0.1})
    assert read_json(path) == {"a": 0.1, "b": [1, None]}
    path.write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        read_json(path)
    with pytest.raises(InputError, match="no such file"):
        read_json(tmp_path / "absent.json")


def test_digests(tmp_path):
    (tmp_path / "one").write_bytes(b"abc")
    assert sha256(tmp_path / "one") == hashlib.sha256(b"abc").hexdigest()
    before = sha256(tmp_path)
    (tmp_path / "one").rename(tmp_path / "two")
    assert sha256(tmp_path) != before


def test_inputs_of_one_name_are_told_apart_by_what_stands_above(tmp_path):
    paths = [tmp_path / name for name in ("stimuli.h5", "scans/stimuli.h5", "old/scans/stimuli.h5", "b.h5")]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))
    found = digests([*paths, paths[0]])
    above = tmp_path.name
    assert found == {
        f"{above}/stimuli.h5": sha256(paths[0]),
        f"{above}/scans/stimuli.h5": sha256(paths[1]),
        "old/scans/stimuli.h5": sha256(paths[2]),
        "b.h5": sha256(paths[3]),
    }
    assert list(digests(paths[:2])) == [f"{above}/stimuli.h5", "scans/stimuli.h5"]
    assert list(digests(paths[2:])) == ["stimuli.h5", "b.h5"]
    write_h5(tmp_path / "made.h5", "test", {}, inputs=paths)
    with h5py.File(tmp_path / "made.h5") as file:
        assert len(json.loads(file.attrs["inputs"])) == 4
    assert was_made_from(tmp_path / "made.h5", "test", config={}, inputs=paths)
    paths[1].write_text("other")
    assert not was_made_from(tmp_path / "made.h5", "test", config={}, inputs=paths)


def test_a_table_is_written_as_pandas_would(tmp_path):
    rng = np.random.default_rng(0)
    columns = {
        "float": rng.standard_normal(400) * 10.0 ** rng.integers(-320, 300, 400),
        "single": rng.standard_normal(400, dtype=np.float32),
        "whole": np.floor(rng.random(400) * 1e17),
        "missing": np.where(rng.random(400) < 0.5, np.nan, np.inf),
        "integer": rng.integers(-(2**62), 2**62, 400),
        "large": [2**63, -1] * 200,
        "yes": rng.random(400) < 0.5,
        "yes or number": [True, 2, 0.5, None] * 100,
        "yes or nothing": [True, float("nan")] * 200,
        "some": [None if index % 3 else 0.1 * index for index in range(400)],
        "some whole": [None if index % 3 else index for index in range(400)],
        "numbers": [index if index % 3 else 0.1 * index for index in range(400)],
        "all kinds": [1, 2.5, None, float("nan")] * 100,
        "none": [None] * 400,
        "text or nothing": ["a", float("nan"), None, "nan"] * 100,
        'a, "b"': ["", " ", "a,b", 'c"d', "e\nf", "\r", "神经", "'"] * 50,
        "text or number": ["", 1, 2.5, "\0"] * 100,
    }
    frame = pd.DataFrame(columns)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for name, table in {"frame": frame, "columns": columns, "rows": rows, "one": {"x": [None, ""]}}.items():
        write_csv(tmp_path / name, table)
        wanted = frame if name != "one" else pd.DataFrame(table)
        assert (tmp_path / name).read_bytes() == wanted.to_csv(index=False).encode()


@pytest.mark.parametrize("table", [[{"x": 1}, {"x": 2, "y": 3}], [{"x": 1}, {}], {"x": [1, 2], "y": [1]}])
def test_a_table_with_holes_is_not_written(tmp_path, table):
    with pytest.raises(ValueError, match=r"different keys|shorter"):
        write_csv(tmp_path / "table.csv", table)
    assert not list(tmp_path.iterdir())


def test_names_that_tables_take_for_nothing_or_for_commands_come_back(tmp_path):
    names = [
        "nan",
        "NaN",
        "None",
        "20",
        "1e5",
        "$5_ or $6",
        '"a", b',
        "=1+1",
        "_x",
        "神经",
        "a;b",
        "'",
        "#",
        "{x}",
    ]
    rows = [{"model": name, "label": name, "value": float("nan")} for name in names]
    write_csv(tmp_path / "table.csv", rows)
    table = read_csv(tmp_path / "table.csv")
    assert table["model"].tolist() == table["label"].tolist() == names
    assert table["value"].isna().all()
    write_csv(tmp_path / "numbers.csv", [{"scan": "007", "other": "008", "label": 3}])
    table = read_csv(tmp_path / "numbers.csv", numbers=["label"])
    assert table.to_dict("records") == [{"scan": "007", "other": "008", "label": 3}]
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as stream:
        assert [row["label"] for row in csv.DictReader(stream)] == names
