"""A headless Chromium, asked through its DevTools protocol over a pipe: no package, no port."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Chromium reads commands from its descriptor 3 and answers on 4, whatever these are here.
_START = 'exec "$@" 3<&"$READ" 4>&"$WRITE"'


def find_browser():
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One empty tab of a browser of its own profile.

    Attributes
    ----------
    events
        What it has told of itself so far, each with ``method`` and ``params``.
    """

    def __init__(self, program, folder):
        command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        command += ["--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage"]
        command += [f"--user-data-dir={folder / 'profile'}", "about:blank"]
        theirs, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        self._log = (folder / "browser.log").open("w")
        self._process = subprocess.Popen(
            ["bash", "-c", _START, "bash", *command],
            env=os.environ | {"READ": str(theirs), "WRITE": str(answers)},
            pass_fds=(theirs, answers), stdout=self._log, stderr=self._log, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        os.close(answers)
        self.events, self._rest, self._number, self._session = [], b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        os.close(self._commands)  # at which it ends
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._answers)
        self._log.close()

    def call(self, method, **params):
        """Return the result of a command."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def open(self, path):
        """Load a file of this machine, to the end."""
        before = len(self.events)
        self.call("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events[before:]):
            self.events.append(self._next())

    def evaluate(self, expression):
        """Return the value of a script, awaited."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def show(self, width, height=900, scheme="light"):
        """Be a screen of some CSS pixels, a phone below 500, light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 500,
        )  # fmt: skip
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        """Write the whole page as PNG."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def told(self, method):
        return [event["params"] for event in self.events if event["method"] == method]

    def _next(self):
        """Return the next message."""
        limit = time.monotonic() + 120
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], limit - time.monotonic())
            assert ready, "the browser has not answered for two minutes"
            block = os.read(self._answers, 1 << 20)
            assert block, f"the browser has ended: {self._process.poll()}"
            self._rest += block
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


# What there is of drawings: SVG elements of no size, and images within them that cannot be decoded.
_DRAWN = """
(async () => {
  const found = {svg: 0, image: 0, broken: []};
  for (const svg of document.querySelectorAll("svg")) {
    found.svg += 1;
    const box = svg.getBoundingClientRect(), parts = svg.getBBox();
    if (!(box.width > 50 && box.height > 50 && parts.width > 0 && parts.height > 0))
      found.broken.push(`a drawing of ${box.width} x ${box.height}: ${svg.getAttribute("aria-label")}`);
  }
  for (const one of [...document.querySelectorAll("image, img")]) {
    found.image += 1;
    const copy = new Image();
    copy.src = one.getAttribute("href") || one.src;
    try { await copy.decode(); } catch (error) { found.broken.push(`an image: ${error.name}`); }
  }
  return found;
})()
"""
# Texts whose contrast with the ground of the page is below what WCAG 2 (AA) asks for.
_FAINT = """
(() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((one) => {
      const share = one / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)" && colour !== "transparent") return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  for (const one of document.querySelectorAll("body *:not(svg, svg *)")) {
    if (![...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const [low, high] = [light(getComputedStyle(one).color), light(ground(one))].sort((a, b) => a - b);
    if ((high + 0.05) / (low + 0.05) < 4.5) faint.push(one.textContent.trim().slice(0, 40));
  }
  return faint;
})()
"""


def problems(browser, path, widths=(390, 1280)):
    """Return what is wrong with a page on screens of some widths, light and dark, in sentences."""
    found = []
    browser.events.clear()
    for width in widths:
        for scheme in ("light", "dark"):
            browser.show(width, scheme=scheme)
            browser.open(path)
            where = f"{width} pixels, {scheme}"
            wide = browser.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                found.append(f"{where}: {wide} pixels wide")
            found += [f"{where}: {one}" for one in browser.evaluate(_DRAWN)["broken"]]
            found += [f"{where}: faint: {one}" for one in browser.evaluate(_FAINT)]
    asked = [told["request"]["url"] for told in browser.told("Network.requestWillBeSent")]
    found += [f"asks for {url[:80]}" for url in asked if not url.startswith((path.as_uri(), "data:"))]
    found += [f"says: {told['entry']['text']}" for told in browser.told("Log.entryAdded")]
    found += [f"says: {told['args']}" for told in browser.told("Runtime.consoleAPICalled")]
    found += [
        f"fails: {told['exceptionDetails']['text']}" for told in browser.told("Runtime.exceptionThrown")
    ]
    return found
