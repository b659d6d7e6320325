"""Fashion-MNIST as Debian's package `dataset-fashion-mnist` ships it."""

import gzip
import os

import numpy as np
import torch

CLASSES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
NO_CLASS = len(CLASSES)  # the label that classifier-free guidance subtracts
DATA = os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist")


def load(split):
    """Returns (images, labels): float32 (n, 1, 32, 32) in -1..1, padded from 28×28 with the background; int64 (n,).

    `split` is "train" (60,000) or "t10k" (10,000)."""
    with gzip.open(f"{DATA}/{split}-images-idx3-ubyte.gz") as f:
        pixels = np.frombuffer(f.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(f"{DATA}/{split}-labels-idx1-ubyte.gz") as f:
        labels = np.frombuffer(f.read(), np.uint8, offset=8).astype(np.int64)
    images = torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1)
    return torch.nn.functional.pad(images, (2, 2, 2, 2), value=-1.0), torch.from_numpy(labels)
