"""What the Python clients' tests share."""

import io
import json
import os
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

DATA = Path(__file__).resolve().parents[3] / "model" / "tests" / "data" / "sd15"


class Native:
    """The server's own interface, to compare with."""

    def __init__(self, url: str):
        self.url = url

    def record(self, generation_id: str) -> dict:
        with urllib.request.urlopen(f"{self.url}/v1/generations/{generation_id}") as answer:
            return json.load(answer)

    def picture(self, **request) -> bytes:
        """The file that a request gives."""
        post = urllib.request.Request(f"{self.url}/v1/generations", json.dumps(request).encode(), {"accept": "image/png"})
        with urllib.request.urlopen(post) as answer:
            return answer.read()

    def end(self, generation_id: str) -> str:
        """Follows the events of a generation to their end, and gives the name of the last."""
        with urllib.request.urlopen(f"{self.url}/v1/generations/{generation_id}/events") as events:
            names = [line.split()[1].decode() for line in events if line.startswith(b"event: ")]
        return names[-1]

    def last_id(self) -> str:
        """The generation that was accepted last."""
        with urllib.request.urlopen(f"{self.url}/v1/generations?limit=1") as answer:
            return json.load(answer)["data"][0]["id"]


@pytest.fixture(scope="session")
def native() -> Native:
    return Native(os.environ["X0_URL"])


@pytest.fixture(scope="session")
def url() -> str:
    return os.environ["X0_URL"]


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A picture of 64 x 64 pixels to start from."""
    return (DATA / "init.png").read_bytes()


@pytest.fixture(scope="session")
def masks() -> tuple[bytes, bytes]:
    """Two masks of the right half: transparent there, and white there."""
    transparent = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
    transparent.paste((0, 0, 0, 0), (32, 0, 64, 64))
    white = Image.new("L", (64, 64), 0)
    white.paste(255, (32, 0, 64, 64))
    return png(transparent), png(white)
