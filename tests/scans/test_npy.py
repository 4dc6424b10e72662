import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from neuroreg.scans.npy import parse_npy

DTYPES = ["<f8", ">f4", "<i2", "u1", "?", "<U5", "S3"]


def npy(values, version=(1, 0)):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, values, version, allow_pickle=True)
    return stream.getvalue()


@given(
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: st_numpy.arrays(dtype, st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0))
    ),
    st.sampled_from("CF"),
    st.sampled_from([(1, 0), (2, 0)]),
)
def test_reads_what_numpy_writes(values, order, version):
    data = npy(np.asarray(values, order=order), version)
    found, expected = parse_npy(data), np.load(io.BytesIO(data))
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY\x01\x00",
        b"something else entirely",
        npy(np.arange(5.0))[:-1],
        npy(np.array([{}, None], dtype=object)),
        npy(np.arange(3)).replace(b"'<i8'", b"'|O8'"),
        npy(np.arange(3)).replace(b"\x93NUMPY\x01", b"\x93NUMPY\x09"),
        npy(np.arange(3)).replace(b"(3,)", b"(3,,"),
        npy(np.arange(30)).replace(b"(30,)", b"(-1,)"),
    ],
)
def test_other_bytes_are_refused(data):
    with pytest.raises(ValueError):
        parse_npy(data)
