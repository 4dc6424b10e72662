import logging
import os
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps
from rights import without_rights

from neuroreg.errors import InputError
from neuroreg.images.folders import class_folders, find_images, open_image, read_gray


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(folder):
    return [file.relative_to(folder).as_posix() for file in find_images(folder)]


def test_images_are_found_at_any_depth_by_extension_and_sorted_by_path(tmp_path):
    touch(tmp_path, "b/2.JPG", "b/10.png", "b/deep/er/x.jpeg", "b-2/y.PNG", "a.png", "B/z.jpg")
    touch(tmp_path, "notes.txt", "b/.png", "b/x.png.part", "b/video.mpg")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "broken.png").symlink_to(tmp_path / "absent.png")
    assert found(tmp_path) == ["B/z.jpg", "a.png", "b-2/y.PNG", "b/10.png", "b/2.JPG", "b/deep/er/x.jpeg"]
    assert find_images(str(tmp_path / "absent")) == []


def test_what_is_hidden_or_the_systems_own_is_skipped(tmp_path):
    touch(tmp_path, "cat/1.png", ".ipynb_checkpoints/1-checkpoint.png", "cat/.ipynb_checkpoints/1.png")
    touch(tmp_path, "cat/._1.png", "__MACOSX/cat/1.png", "cat/@eaDir/1.png/thumb.jpg", ".git/annex/x.png")
    assert found(tmp_path) == ["cat/1.png"]
    assert class_folders(tmp_path) == ["cat"]


def test_one_line_says_what_was_taken_and_left_out_and_why(tmp_path, caplog):
    touch(tmp_path, "a.png", "b.webp", "c.heic", "d.HEIC", "notes", "sub/.hidden.png", "sub/e.txt")
    (tmp_path / "gone.png").symlink_to("absent.png")
    os.mkfifo(tmp_path / "pipe.png")
    with caplog.at_level(logging.INFO):
        find_images(tmp_path)
        find_images(tmp_path / "sub")
        touch(tmp_path, "all/x.png")
        find_images(tmp_path / "all")
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: 2 images taken, left out: 2 .heic files, 1 .txt files, 1 broken links, "
        "1 files without extension, 1 hidden, 1 not files",
        f"{tmp_path / 'sub'}: 0 images taken, left out: 1 .txt files, 1 hidden",
        f"{tmp_path / 'all'}: 1 images taken, left out: nothing",
    ]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]


def test_links_are_followed_and_circles_refused(tmp_path):
    touch(tmp_path, "store/x.png", "set/a/y.png")
    (tmp_path / "set" / "b").symlink_to(tmp_path / "store")
    (tmp_path / "set" / "a" / "z.png").symlink_to(tmp_path / "store" / "x.png")
    # The same folder twice, beside and not within itself, is no circle.
    (tmp_path / "set" / "c").symlink_to(tmp_path / "set" / "b")
    assert found(tmp_path / "set") == ["a/y.png", "a/z.png", "b/x.png", "c/x.png"]
    assert class_folders(tmp_path / "set") == ["a", "b", "c"]
    (tmp_path / "store" / "back").symlink_to(tmp_path / "set")
    with pytest.raises(
        InputError, match=r"b/back: a link to a folder above it; expected links that lead in no"
    ):
        find_images(tmp_path / "set")
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "x.png").symlink_to("x.png")
    for walk in (find_images, class_folders):
        with pytest.raises(InputError, match=r"self/x\.png: a link to itself"):
            walk(tmp_path / "self")


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100])
def test_a_folder_without_rights_is_named(mode):
    with without_rights() as folder:
        touch(folder, "cat/1.png", "cat/more/2.png")
        (folder / "cat" / "more").chmod(mode)
        with pytest.raises(
            InputError, match=r"cat/more: no permission to list this folder; expected the rights"
        ):
            find_images(folder)
        with pytest.raises(InputError, match=r"cat/more: no permission to list this folder"):
            class_folders(folder / "cat" / "more")


def test_an_image_without_rights_is_named():
    with without_rights() as folder:
        Image.new("L", (4, 4)).save(folder / "x.png")
        (folder / "x.png").chmod(0)
        with pytest.raises(InputError, match=r"x\.png: no permission to read this image"):
            open_image(folder / "x.png")


def test_a_name_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "ok").mkdir()
    (tmp_path / os.fsdecode(b"set\xe9")).mkdir()
    with pytest.raises(InputError, match=r"set\\xe9: a name that is not UTF-8"):
        class_folders(tmp_path)
    (tmp_path / "ok" / os.fsdecode(b"\xff.png")).touch()
    with pytest.raises(InputError, match=r"ok/\\xff\.png: a name that is not UTF-8"):
        find_images(tmp_path / "ok")


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_of_16_bits_gray_is_refused_and_the_high_byte_of_colours_taken(tmp_path, colour_type, channels):
    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    values = np.random.default_rng(0).integers(0, 2**16, (5, 7, channels), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", 7, 5, 16, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path = tmp_path / "deep.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks))
    if channels == 1:
        with pytest.raises(InputError, match=r"deep\.png: pixels of mode I;16; expected an 8-bit"):
            open_image(path)
        return
    colours = values[..., :3] if channels > 2 else values[..., [0, 0, 0]]
    np.testing.assert_array_equal(np.asarray(open_image(path)), colours >> 8)


# Formats without loss, in which the pixels must come back exactly, and those that lose some.
EXACT = (
    "png",
    "apng",
    "bmp",
    "dib",
    "gif",
    "tif",
    "tiff",
    "webp",
    "ppm",
    "pgm",
    "pcx",
    "tga",
    "sgi",
    "im",
    "ico",
    "qoi",
)
LOSSY = ("jpg", "jpeg", "jpe", "jfif", "jp2", "mpo")


@pytest.mark.parametrize("extension", [*EXACT, *LOSSY])
def test_every_format_that_pillow_decodes_is_found_and_read(tmp_path, extension):
    pixels = np.add.outer(3 * np.arange(32), 4 * np.arange(32)).astype(np.uint8)
    path = tmp_path / f"x.{extension}"
    mode = "L" if extension in ("pgm", "gif") else "RGB"
    options = (
        {"lossless": True} if extension == "webp" else {"sizes": [(32, 32)]} if extension == "ico" else {}
    )
    Image.fromarray(pixels).convert(mode).save(path, **options)
    assert found(tmp_path) == [path.name]
    np.testing.assert_allclose(read_gray(path), pixels, atol=3 if extension in LOSSY else 1e-9)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["png", "webp", "tif", "jpg"])
def test_images_are_turned_upright_as_exif_says(tmp_path, extension, orientation):
    # Upright, the ramp grows to the right and faster to the bottom; as stored, it is turned away.
    upright = np.add.outer(5 * np.arange(24), 2 * np.arange(40)).astype(np.uint8)
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright, 1), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"x.{extension}"
    options = {"lossless": True} if extension == "webp" else {"quality": 100} if extension == "jpg" else {}
    Image.fromarray(stored).convert("RGB").save(path, exif=exif, **options)
    with Image.open(path) as image:
        reference = np.asarray(ImageOps.exif_transpose(image).convert("L"), np.float64)
    tolerance = 2 if extension == "jpg" else 1e-9
    np.testing.assert_allclose(read_gray(path), upright, atol=tolerance)
    np.testing.assert_allclose(reference, upright, atol=tolerance)


def test_damaged_exif_leaves_the_pixels_as_they_are(tmp_path):
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    for number, exif in enumerate([b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0garbage", b"no exif"]):
        path = tmp_path / f"{number}.png"
        Image.fromarray(pixels).save(path, exif=exif)
        np.testing.assert_array_equal(read_gray(path), pixels)


def test_palette_and_transparent_images_are_read(tmp_path):
    colours = np.zeros((40, 70, 3), np.uint8)
    colours[:, 35:] = (200, 100, 50)
    expected = np.where(np.arange(70) < 35, 0, 0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    Image.fromarray(colours).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "palette.png")
    Image.fromarray(colours).convert("RGBA").save(tmp_path / "alpha.png")
    for name in ("palette.png", "alpha.png"):
        np.testing.assert_allclose(read_gray(tmp_path / name)[20], expected, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("x.png", b"", "but an empty file"),
        ("x.jpg", b"<!DOCTYPE html><html>", "but an HTML page"),
        (
            "x.webp",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "but a Git LFS pointer, not",
        ),
        (
            "x.png",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n",
            "but a text file",
        ),
        ("x.gif", b"GIF89a\xff\xff\xff\xff\xff\xff\xff", "; expected one, complete"),
    ],
)
def test_what_is_no_image_is_named_for_what_it_is(tmp_path, name, content, found):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{re.escape(name)}: not a readable image ?{re.escape(found)}"):
        open_image(tmp_path / name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")  # keeps memory small
@pytest.mark.parametrize(
    "extension", ["png", "bmp", "gif", "tif", "webp", "qoi", "tga", "jpg", "ico", "dds", "pcx", "psd"]
)
def test_flipped_bits_and_cut_ends_are_told_in_a_sentence(tmp_path, extension):
    rng = np.random.default_rng(0)
    path = tmp_path / f"x.{extension}"
    if extension == "psd":
        header = b"8BPS" + b"\0\x01" + bytes(6) + b"\0\x01" + b"\0\0\0\x08\0\0\0\x08" + b"\0\x08\0\x01"
        whole = header + bytes(12) + bytes(2) + bytes(64)
    else:
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
        whole = path.read_bytes()
    for _ in range(60):
        content = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.3 else whole)
        for position in rng.integers(0, max(1, min(len(content), 64)), 4):
            content[position : position + 1] = bytes([rng.integers(256)])
        path.write_bytes(content)
        try:
            image = open_image(path)
        except InputError:
            continue
        assert image.mode in ("L", "RGB")
