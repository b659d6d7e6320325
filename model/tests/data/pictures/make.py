"""What Pillow 13 makes of a random picture: `resized.WIDTHxHEIGHT` and `gray.WIDTHxHEIGHT` (resized, then converted).

    python make.py        # writes cases.safetensors beside itself"""

import os

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

pixels = np.random.RandomState(3).randint(0, 256, (23, 31, 3), dtype=np.uint8)
pixels[5:12, 8:20] = (255, 0, 128)
picture = Image.fromarray(pixels)
cases = {"picture": pixels}
for size in [(31, 23), (16, 8), (64, 48), (31, 7), (5, 23), (1, 1), (97, 3), (30, 20), (30, 21)]:
    resized = picture.resize(size, Image.Resampling.LANCZOS)
    cases["resized.%dx%d" % size] = np.array(resized)
    cases["gray.%dx%d" % size] = np.array(resized.convert("L"))
save_file(cases, os.path.dirname(os.path.abspath(__file__)) + "/cases.safetensors")
