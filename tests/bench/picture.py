"""A whole picture by diffusers, as `x0 generate` makes it, for its peak memory.

    python picture.py MODEL OUT.png"""

import os
import sys

import torch
from diffusers import StableDiffusionPipeline


def main(model, out):
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    pipeline = StableDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32, safety_checker=None, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline("a red apple", num_inference_steps=2, guidance_scale=7.5, generator=torch.Generator().manual_seed(0)).images[0]
    picture.save(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
