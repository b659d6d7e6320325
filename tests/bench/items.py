"""What can be measured, and how it is called on a command line."""

import re
from dataclasses import dataclass

# Of a whole picture: a usual number, a usual guidance, and a method that calls the network once a step here and there.
STEPS = 20
GUIDANCE = 7.5
SAMPLER, SCHEDULER = "dpmpp_2m", "DPMSolverMultistepScheduler"

NAMES = "unet-SIZE-ROWS, vae_decode-SIZE, text_encoder, pictures-COUNT, preview, memory, serve"


@dataclass(frozen=True)
class Network:
    """A call of a network, for pictures of `size` × `size` pixels."""

    stage: str
    size: int
    rows: int


@dataclass(frozen=True)
class Pictures:
    """Whole pictures, so many at a time: each has two rows of the UNet, one with its text and one without."""

    at_once: int


@dataclass(frozen=True)
class Preview:
    """What it costs to be shown every step."""


@dataclass(frozen=True)
class Memory:
    """How much of it a picture takes."""


@dataclass(frozen=True)
class Serve:
    """Requests that come at random times."""


def read(name):
    """The item of a name; None if there is no such item."""
    if found := re.fullmatch(r"unet-([1-9]\d*)(?:-([1-9]\d*))?", name):
        return Network("unet", int(found[1]), int(found[2] or 2))
    if found := re.fullmatch(r"vae_decode-([1-9]\d*)", name):
        return Network("vae_decode", int(found[1]), 1)
    if found := re.fullmatch(r"pictures-([1-9]\d*)", name):
        return Pictures(int(found[1]))
    return {"text_encoder": Network("text_encoder", 512, 2), "preview": Preview(), "memory": Memory(), "serve": Serve()}.get(name)


@dataclass(frozen=True)
class Device:
    """What is measured on a device, unless something else is asked for."""

    report: str
    precision: str
    peers: tuple
    # Times that each contestant has a turn, after those that are not counted.
    rounds: int
    warm_up: int
    items: tuple


DEVICES = {
    "cpu": Device("docs/benchmarks.md", "float32", ("eager", "openvino"), 4, 0,
                  ("unet-512", "unet-256", "vae_decode-512", "vae_decode-256", "text_encoder", "memory", "serve")),
    # torch.compile measures kernels at the first call, and records a graph at the second.
    "cuda": Device("docs/benchmarks-cuda.md", "bfloat16", ("eager", "compiled"), 10, 2,
                   ("unet-512", "unet-512-4", "unet-512-8", "unet-512-16", "vae_decode-512", "text_encoder",
                    "pictures-1", "pictures-2", "pictures-4", "pictures-8", "preview", "serve")),
}
# What each needs to be importable.
PEERS = {"eager": ("torch", "diffusers", "transformers"), "compiled": ("torch", "diffusers", "transformers"),
         "openvino": ("torch", "diffusers", "transformers", "openvino")}
