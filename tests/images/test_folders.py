import numpy as np
from PIL import Image

from neuroreg.images.folders import find_images, read_gray


def test_images_are_found_at_any_depth_by_extension_and_sorted_by_path(tmp_path):
    for name in ("b/2.JPG", "b/10.png", "b/deep/er/x.jpeg", "b-2/y.PNG", "a.png", "B/z.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("notes.txt", "b/.png", "b/x.png.part", "b/video.gif"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "broken.png").symlink_to(tmp_path / "absent.png")
    found = [file.relative_to(tmp_path).as_posix() for file in find_images(tmp_path)]
    assert found == ["B/z.jpg", "a.png", "b-2/y.PNG", "b/10.png", "b/2.JPG", "b/deep/er/x.jpeg"]
    assert find_images(str(tmp_path / "absent")) == []


def test_palette_and_transparent_images_are_read(tmp_path):
    colours = np.zeros((40, 70, 3), np.uint8)
    colours[:, 35:] = (200, 100, 50)
    expected = np.where(np.arange(70) < 35, 0, 0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    Image.fromarray(colours).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "palette.png")
    Image.fromarray(colours).convert("RGBA").save(tmp_path / "alpha.png")
    for name in ("palette.png", "alpha.png"):
        np.testing.assert_allclose(read_gray(tmp_path / name)[20], expected, atol=1e-9)
