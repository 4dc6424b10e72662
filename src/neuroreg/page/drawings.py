"""Figures as they stand within a page: SVG drawings, cleaned of what a page can't have or need not."""

import re
from pathlib import Path
from xml.etree import ElementTree

from markupsafe import Markup

from neuroreg.errors import InputError

_SHAPES = {"path", "rect", "circle", "line", "polyline", "polygon", "image", "text", "tspan"}
_ELEMENTS = {"svg", "g", "defs", "use", "clipPath", "linearGradient", "stop"} | _SHAPES
_LEFT_OUT = {"metadata", "style", "title", "desc"}
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def inline_svg(path: str | Path, name: str, label: str) -> Markup:
    """Return a drawing as an element to stand in an HTML page beside others.

    Parameters
    ----------
    path
        An SVG file, as Matplotlib writes them.
    name
        Stands before each of the drawing's ids, so that those of several drawings differ.
    label
        What screen readers call it.

    Returns
    -------
    markupsafe.Markup
        An ``svg`` element that has its natural width in CSS pixels as ``--natural``, whose style
        and size the page decides, and of the class ``raster`` if it holds images made of pixels.

    Raises
    ------
    InputError
        If the file is no drawing, or holds what runs or loads something.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(f"{path}: not a readable drawing ({error}); expected SVG.") from error
    _clean(root, path)
    if root.tag != "svg" or "viewBox" not in root.attrib:
        raise InputError(f"{path}: its first element is <{root.tag}>; expected an <svg> with a viewBox.")
    _rename(root, name)
    points = float(root.attrib["viewBox"].split()[2])
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    raster = any(element.tag == "image" for element in root.iter())
    root.attrib |= {
        "role": "img",
        "aria-label": label,
        "class": "raster" if raster else "vector",
        "style": f"--natural: {points * 4 / 3:.0f}px",
    }
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _clean(root: ElementTree.Element, path: str | Path) -> None:
    """Take namespaces, which HTML has none of, and descriptions out; refuse all but drawing."""
    for element in root.iter():
        for child in list(element):
            if not isinstance(child.tag, str) or _local(child.tag) in _LEFT_OUT:
                element.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        if element.tag not in _ELEMENTS:
            raise InputError(f"{path}: holds a <{element.tag}>; expected elements that draw, only.")
        attributes = {_local(key): value for key, value in element.attrib.items()}
        target = attributes.get("href", "#")
        if not target.startswith(("#", "data:image/png;base64,")):
            raise InputError(f"{path}: refers to '{target[:60]}'; expected a drawing complete in itself.")
        element.attrib.clear()
        element.attrib |= {key: value for key, value in attributes.items() if not key.startswith("on")}
        element.tail = None if element.tag not in ("text", "tspan") else element.tail


def _rename(root: ElementTree.Element, name: str) -> None:
    """Put `name` before ids that something refers to; drop the others."""
    used = set()
    for element in root.iter():
        used.update(match for value in element.attrib.values() for match in _REFERENCE.findall(value))
        if element.get("href", "").startswith("#"):
            used.add(element.attrib["href"][1:])
    for element in root.iter():
        for key, value in element.attrib.items():
            element.attrib[key] = _REFERENCE.sub(rf"url(#{name}-\1)", value)
        if element.get("href", "").startswith("#"):
            element.attrib["href"] = f"#{name}-{element.attrib['href'][1:]}"
        own = element.attrib.pop("id", None)
        if own in used:
            element.attrib["id"] = f"{name}-{own}"
