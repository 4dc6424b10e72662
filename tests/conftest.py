"""What all tests share: Ctrl-C is heard, long tests are asked for, GPUs, a web server that can misbehave."""

import re
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@pytest.fixture(params=["make-believe", pytest.param("real", marks=pytest.mark.gpu)])
def any_gpu(request):
    """The class of a GPU that counts kernels and waits; the real one needs a CUDA device."""
    if request.param == "real":
        from real_gpu import RealGpu

        return RealGpu
    from make_believe_gpu import MakeBelieveGpu

    return MakeBelieveGpu


def pytest_configure():
    # A shell's background ignores Ctrl-C, and so would all processes that tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="also run the long tests, marked soak")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--soak"):
        for item in items:
            if item.get_closest_marker("soak"):
                item.add_marker(pytest.mark.skip(reason="long: run by make soak"))


class Server(ThreadingHTTPServer):
    """Serves one file under every path: each request by the next of `script`, honestly once that is empty.

    Attributes
    ----------
    content, headers
        The file and what identifies its version, e.g. ``{"ETag": '"1"'}``.
    script
        Functions of a request handler.
    requests
        Headers of each request so far.
    sent
        Bytes of the body sent in answer to each.
    watch
        Called while each request is served.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.headers = b"", {"ETag": '"1"'}
        self.script, self.requests, self.sent = [], [], []
        self.watch = lambda: None
        self.closing = threading.Event()

    def url(self, name="scan.zip"):
        return f"http://127.0.0.1:{self.server_port}/{name}"

    @property
    def ranges(self):
        """The Range header of each request so far, None where there was none."""
        return [headers.get("Range") for headers in self.requests]


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        """Keep quiet."""

    def do_GET(self):
        self.server.requests.append(dict(self.headers))
        self.server.sent.append(0)
        self.number = len(self.server.sent) - 1
        self.server.watch()
        (self.server.script.pop(0) if self.server.script else honest)(self)

    def start(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def body(self, data):
        # Counted first: once the last bytes are there, the test goes on.
        self.server.sent[self.number] += len(data)
        self.wfile.write(data)


def honest(handler, *, length=None, limit=None, ranges=True, conditions=True, etags=True):
    """Answer as RFC 9110 says, but for what the arguments say.

    Parameters
    ----------
    length
        Content-Length in place of the true one.
    limit
        Bytes of the body after which the connection ends.
    ranges, conditions, etags
        Whether Range and If-Range are understood, and whether versions are told.
    """
    server, content, start = handler.server, handler.server.content, 0
    told = server.headers if etags else {}
    asked = handler.headers.get("Range") if ranges else None
    condition = handler.headers.get("If-Range")
    if asked and (not conditions or condition is None or condition in told.values()):
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
        if start >= len(content):
            return handler.start(416, Content_Range=f"bytes */{len(content)}", **told)
        told = told | {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
    rest = content[start:]
    handler.start(206 if start else 200, Content_Length=len(rest) if length is None else length, **told)
    handler.body(rest[:limit])
    return None


def answer(**arguments):
    """An answer like `honest` with other arguments."""
    return lambda handler: honest(handler, **arguments)


def status(code, body=b"", **headers):
    """An answer of a status and a body."""

    def respond(handler):
        handler.start(code, Content_Length=len(body), **headers)
        handler.body(body)

    return respond


def stall(count):
    """An answer that stops after `count` bytes and keeps the connection open."""

    def respond(handler):
        honest(handler, limit=count)
        handler.wfile.flush()
        handler.server.closing.wait(60)

    return respond


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    server.answer, server.status, server.stall = answer, status, stall
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def wait_until():
    """Wait for a condition, a minute at most."""

    def wait(condition):
        limit = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < limit
            time.sleep(0.01)

    return wait
