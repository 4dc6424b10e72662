from dataclasses import dataclass, replace

import h5py
import numpy as np
import pytest

from neuroreg.errors import InputError
from neuroreg.files.records import config_field, dataset, read_fields, read_record, write_record
from neuroreg.files.storage import write_h5
from neuroreg.similarity.denoised import PredictedResponses


@dataclass(frozen=True, eq=False)
class Sample:
    KIND = "sample"

    values: np.ndarray = dataset("part/values", np.float32, "R", 2)
    name: np.ndarray = dataset("name", np.str_, "R")
    group: dict = dataset("group", np.integer, "R", names=("a", "b"))
    texts: tuple = dataset("texts", np.str_, "K", unpack=lambda texts: tuple(texts.tolist()), default=())
    level: float = dataset("level", np.float64, default=0.5)
    order: np.ndarray | None = dataset("order", np.int64, "R", optional=True, default=None)
    made_by: dict = config_field()


def sample(**changes):
    content = {
        "values": np.ones((3, 2), np.float32),
        "name": np.array(["x", "ü", "z"]),
        "group": {"a": np.arange(3, dtype=np.uint8), "b": np.arange(3)},
    }
    return Sample(**{**content, **changes})


def test_a_record_comes_back_as_it_was(tmp_path):
    for record in (
        sample(),
        sample(texts=("b", "a"), order=np.arange(3), made_by={"kind": "x", "seed": 2**62}),
    ):
        write_record(tmp_path / "a.h5", record)
        back = read_record(tmp_path / "a.h5", Sample)
        np.testing.assert_array_equal(back.values, record.values)
        assert back.name.tolist() == ["x", "ü", "z"]
        assert back.group["a"].dtype == np.uint8 and back.group["b"].dtype == np.int64
        assert back.texts == record.texts and back.made_by == record.made_by
        assert isinstance(back.level, float) and back.level == 0.5
        assert (back.order is None) == (record.order is None)


@pytest.mark.parametrize("place", ["part/values", "name", "group/b", "texts", "level"])
def test_an_incomplete_file_is_refused(tmp_path, place):
    write_record(tmp_path / "a.h5", sample())
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file[place]
    with pytest.raises(InputError, match=rf"a\.h5: no dataset '{place}'; expected part/values, name, group"):
        read_record(tmp_path / "a.h5", Sample)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.ones((3, 2))}, r"sample: part values float64 \(3, 2\); expected float32 \(3, 2\)"),
        ({"values": np.ones((4, 2), np.float32)}, r"part values float32 \(4, 2\); expected float32 \(3, 2\)"),
        ({"values": np.ones(3, np.float32)}, r"part values float32 \(3,\); expected float32 \(3, 2\)"),
        ({"name": np.zeros(3)}, r"name float64 \(3,\); expected str \(3,\)"),
        ({"group": {"a": np.arange(3), "b": np.arange(2)}}, r"group b int64 \(2,\); expected integer \(3,\)"),
        ({"level": np.zeros(2)}, r"level float64 \(2,\); expected float64 \(\)"),
    ],
)
def test_another_type_or_shape_is_refused_written_and_read(tmp_path, change, message):
    bad = replace(sample(), **change)
    with pytest.raises(InputError, match=message):
        write_record(tmp_path / "a.h5", bad)
    content = {"part/values": bad.values, "name": bad.name, "level": bad.level, "texts": np.array(["a"])}
    content |= {f"group/{name}": array for name, array in bad.group.items()}
    write_h5(tmp_path / "a.h5", "sample", content)
    with pytest.raises(InputError, match=rf"a\.h5: .*{message}"):
        read_record(tmp_path / "a.h5", Sample)


def test_a_record_with_a_config_takes_no_other_one(tmp_path):
    with pytest.raises(TypeError, match="a sample has its config in 'made_by'; expected no other one"):
        write_record(tmp_path / "a.h5", sample(), config={"seed": 1})
    assert not list(tmp_path.iterdir())


def test_fields_are_read_without_the_others(tmp_path):
    write_record(tmp_path / "a.h5", sample())
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["part"]
    assert list(read_fields(tmp_path / "a.h5", Sample, ("name",))) == ["name"]


def test_an_incomplete_file_of_responses_is_refused(tmp_path):
    write_h5(tmp_path / "a.h5", "responses", {"key": np.array(["c/1"])})
    with pytest.raises(
        InputError, match=r"a\.h5: no dataset 'predicted'; expected key, predicted, oracle/key"
    ):
        read_record(tmp_path / "a.h5", PredictedResponses)


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_texts_that_hdf5_cannot_hold_are_refused_by_name(tmp_path, text):
    with pytest.raises(InputError, match=r"^sample: name .*; expected text that UTF-8 can hold"):
        write_record(tmp_path / "a.h5", sample(name=np.array(["x", text, "z"])))
    assert not (tmp_path / "a.h5").exists()
