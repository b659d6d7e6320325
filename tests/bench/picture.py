"""Whole pictures by diffusers, from texts to pixels on the processor, with the protocol of `x0 bench --take-turns`.

    python picture.py eager|compiled DEVICE MODEL STEPS AT_ONCE TIMES

After AT_ONCE pictures, made together, it prints a line; then it makes as many for each line that comes, TIMES times one after the
other, and prints the seconds of all."""

import itertools
import sys
import time

import diffusers
import torch
from diffusers.utils.logging import disable_progress_bar

import items
from peer import compiled, placed, precision, settle


def load(peer, device, model):
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(
        model, torch_dtype=precision(device), safety_checker=None, requires_safety_checker=False)
    pipeline.scheduler = getattr(diffusers, items.SCHEDULER).from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(device)
    pipeline.unet, pipeline.vae = placed(pipeline.unet, device), placed(pipeline.vae, device)
    if peer == "compiled":
        pipeline.unet, pipeline.vae.decode = compiled(pipeline.unet), compiled(pipeline.vae.decode)
    return pipeline


def main(peer, device, model, steps, at_once, times):
    settle()
    disable_progress_bar()
    pipeline, numbers = load(peer, device, model), itertools.count()

    def together():
        prompts = [f"a red apple, number {next(numbers)}" for _ in range(int(at_once))]
        generator = torch.Generator(device).manual_seed(0)
        return pipeline(prompts, num_inference_steps=int(steps), guidance_scale=items.GUIDANCE, generator=generator).images

    together()
    print("{}", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(times)):
            together()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
