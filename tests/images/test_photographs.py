import os

import numpy as np
import pytest
from PIL import Image
from skimage.transform import downscale_local_mean

from neuroreg.errors import InputError
from neuroreg.files.records import read_record, write_record
from neuroreg.images.photographs import area_reduce, folder_stimuli, photograph_stimuli
from neuroreg.images.stimuli import Stimuli


@pytest.fixture(scope="module")
def crops():
    return photograph_stimuli(700, seed=3)


def save_image(path, shape, seed=0, mode="RGB"):
    rng = np.random.default_rng(seed)
    channels = () if mode == "L" else (3,)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (*shape, *channels), dtype=np.uint8)).save(path)


def test_area_reduce_by_whole_factor_is_the_local_mean():
    image = np.random.default_rng(0).random((144, 256))
    np.testing.assert_allclose(
        area_reduce(image, (0, 0, 144, 256), (36, 64)), downscale_local_mean(image, (4, 4)), rtol=1e-12
    )


def test_area_reduce_counts_fractions_of_pixels():
    # Every edge of the box and of its cells falls on a tenth of a pixel, so a tenfold repetition is exact.
    image = np.random.default_rng(1).random((20, 30))
    fine = np.kron(image, np.ones((10, 10)))
    top, left, height, width = 13, 27, 4 * 17, 5 * 23
    expected = fine[top : top + height, left : left + width].reshape(4, 17, 5, 23).mean(axis=(1, 3))
    got = area_reduce(image, (top / 10, left / 10, height / 10, width / 10), (4, 5))
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_photographs_are_different_contrasted_crops_of_many_pictures(crops):
    images, key = crops
    assert images.shape == (700, 36, 64) and images.dtype == np.uint8
    correlation = np.corrcoef(images.reshape(700, -1).astype(np.float64))
    np.fill_diagonal(correlation, 0)
    assert correlation.max() <= 0.95 + 1e-6
    assert images.std(axis=(1, 2)).min() > 11.9
    assert len(set(key)) == 700
    names = {k.split("/")[1].rsplit("_", 1)[0] for k in key}
    assert len(names) == 14 and all(k.startswith("photograph/") for k in key)


def test_photographs_depend_on_the_seed_alone_and_extend_each_other(crops):
    images, key = photograph_stimuli(60, seed=3)
    np.testing.assert_array_equal(images, crops[0][:60])
    np.testing.assert_array_equal(key, crops[1][:60])
    assert not np.array_equal(photograph_stimuli(60, seed=4)[0], images)


def test_more_photographs_than_can_be_found(monkeypatch):
    monkeypatch.setattr("neuroreg.images.photographs._SHIPPED", {"skimage.data": ("moon.png",)})
    monkeypatch.setattr("neuroreg.images.photographs._MAX_FAILURES", 5)
    with pytest.raises(InputError, match=r"only \d+ different crops found; 3000 stimuli were asked for"):
        photograph_stimuli(3000, seed=0)


def gray_pixels(path):
    rgb = np.asarray(Image.open(path), dtype=np.float64)
    return (299 * rgb[..., 0] + 587 * rgb[..., 1] + 114 * rgb[..., 2]) / 1000


@pytest.mark.parametrize(
    ("shape", "top", "left"),
    [((144, 256), 0, 0), ((160, 256), 8, 0), ((375, 500), 115, 122), ((201, 301), 28, 22)],
)
def test_folder_takes_the_papers_crop_in_gray_reduced_by_four(tmp_path, caplog, shape, top, left):
    save_image(tmp_path / "n01" / "n01_7.png", shape)
    images, key = folder_stimuli(tmp_path, 1, seed=0)
    gray = gray_pixels(tmp_path / "n01" / "n01_7.png")
    expected = downscale_local_mean(gray[top : top + 144, left : left + 256], (4, 4))
    assert key.tolist() == ["n01/n01_7"]
    assert np.abs(images[0] - expected).max() <= 0.5 + 1e-9
    assert not caplog.records


@pytest.mark.parametrize(
    ("shape", "rows", "columns", "factor"),
    [((288, 600), (0, 288), (44, 556), 8), ((400, 320), (110, 290), (0, 320), 5)],
)
def test_the_largest_crop_is_taken_where_it_is_asked_for(tmp_path, shape, rows, columns, factor):
    save_image(tmp_path / "a" / "x.png", shape)
    images, _ = folder_stimuli(tmp_path, 1, seed=0, crop="largest")
    cut = gray_pixels(tmp_path / "a" / "x.png")[slice(*rows), slice(*columns)]
    assert np.abs(images[0] - downscale_local_mean(cut, (factor, factor))).max() <= 0.5 + 1e-9
    assert not np.array_equal(images, folder_stimuli(tmp_path, 1, seed=0)[0])


def test_of_a_smaller_image_the_largest_crop_is_taken(tmp_path, caplog):
    save_image(tmp_path / "a" / "x.png", (72, 300), mode="L")
    save_image(tmp_path / "a" / "y.png", (400, 128), mode="L")
    save_image(tmp_path / "a" / "z.png", (200, 300), mode="L")
    images, _ = folder_stimuli(tmp_path, 3, seed=0)
    x, y, z = (np.asarray(Image.open(tmp_path / "a" / f"{name}.png"), dtype=np.float64) for name in "xyz")
    cuts = (x[:, 86:214], 2), (y[164:236], 2), (z[28:172, 22:278], 4)
    for image, (cut, factor) in zip(images, cuts, strict=True):
        assert np.abs(image - downscale_local_mean(cut, (factor, factor))).max() <= 0.5 + 1e-9
    assert (
        f"{tmp_path}: 2 of 3 images are smaller than 144x256; their largest 9:16 crop is taken" in caplog.text
    )


def test_folder_is_searched_at_any_depth_and_sampled_by_seed(tmp_path):
    for i in range(12):
        save_image(tmp_path / "deep" / f"class{i % 3}" / f"i{i}.{('png', 'JPG', 'jpeg')[i % 3]}", (40, 70), i)
    (tmp_path / "notes.txt").write_text("not an image")
    images, key = folder_stimuli(tmp_path, 5, seed=1)
    again, same = folder_stimuli(tmp_path, 5, seed=1)
    np.testing.assert_array_equal(images, again)
    assert key.tolist() == same.tolist() == sorted(key, key=lambda k: k.split("/"))
    samples = {tuple(folder_stimuli(tmp_path, 5, seed=s)[1]) for s in range(5)}
    assert len(samples) > 1
    assert len(folder_stimuli(tmp_path, 12, seed=0)[1]) == 12


def test_images_of_equal_pixels_are_taken_once(tmp_path, caplog):
    """Two of them would be the same point of a similarity matrix, and one could be oracle and pool."""
    for i in range(12):
        save_image(tmp_path / "a" / f"i{i:02d}.png", (40, 70), max(i, 5))
    for seed in range(4):
        images, key = folder_stimuli(tmp_path, 7, seed=seed)
        assert len({image.tobytes() for image in images}) == len(set(key)) == 7
        assert key.tolist() == sorted(key)
    assert "images left out that have the pixels of others" in caplog.text
    with pytest.raises(
        InputError, match="7 different images found, 5 more with the pixels of others; 8 stimuli"
    ):
        folder_stimuli(tmp_path, 8, seed=0)


def test_folder_errors(tmp_path):
    with pytest.raises(InputError, match=r"absent: no such folder"):
        folder_stimuli(tmp_path / "absent", 1, seed=0)
    save_image(tmp_path / "a" / "x.png", (40, 70))
    with pytest.raises(InputError, match="1 images found; 2 stimuli were asked for"):
        folder_stimuli(tmp_path, 2, seed=0)
    save_image(tmp_path / "b" / "a" / "x.jpg", (40, 70))
    with pytest.raises(InputError, match="same key 'a/x' as"):
        folder_stimuli(tmp_path, 2, seed=0)


def test_a_folder_whose_name_is_no_text_is_refused_where_it_makes_keys(tmp_path):
    bad = tmp_path / os.fsdecode(b"\xffdir")
    for i in range(3):
        save_image(bad / "below" / f"{i}.png", (36, 64), seed=i)
    # A folder further up is no part of the keys: they are stored and read again.
    images, key = folder_stimuli(tmp_path, 3, seed=0)
    write_record(tmp_path / "s.h5", Stimuli(images, key, np.zeros(3, np.bool_)))
    assert read_record(tmp_path / "s.h5", Stimuli).key.tolist() == ["below/0", "below/1", "below/2"]
    # A link is called by what it leads to.
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "link").symlink_to(bad)
    save_image(bad / "x.png", (36, 64), seed=9)
    for folder in (tmp_path, bad, tmp_path / "other" / "link"):
        with pytest.raises(InputError, match=r"/\\xffdir: a name that is not UTF-8; expected another"):
            folder_stimuli(folder, 3, seed=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"broken\.png: not a readable image"),
        (b"\x89PNG\r\n\x1a\n and no more", r"broken\.png: not a readable image"),
    ],
)
def test_unreadable_image_is_named(tmp_path, content, message):
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(InputError, match=message):
        folder_stimuli(tmp_path, 1, seed=0)


def test_truncated_small_and_deep_images_are_named(tmp_path):
    whole = tmp_path / "whole" / "x.jpg"
    save_image(whole, (200, 300))
    cut = tmp_path / "cut" / "x.jpg"
    cut.parent.mkdir()
    cut.write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"x\.jpg: not a readable image"):
        folder_stimuli(cut.parent, 1, seed=0)
    save_image(tmp_path / "small" / "x.png", (36, 63))
    with pytest.raises(InputError, match=r"x\.png: 36x63 pixels; expected an image of at least 36x64"):
        folder_stimuli(tmp_path / "small", 1, seed=0)
    (tmp_path / "deep").mkdir()
    Image.fromarray(np.zeros((40, 70), np.uint16)).save(tmp_path / "deep" / "x.png")
    with pytest.raises(InputError, match=r"x\.png: pixels of mode I;16; expected an 8-bit"):
        folder_stimuli(tmp_path / "deep", 1, seed=0)
