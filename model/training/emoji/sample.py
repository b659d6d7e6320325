"""Makes pictures with the trained networks, for looking and for the evaluation.

    python sample.py --model DIR --grid grid.png [--prompts "a red apple" "a blue car, 3d style"]

DIR is a folder in diffusers' layout (see export.py)."""

import argparse

import numpy as np
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline
from PIL import Image

SAMPLERS = {"ddim": (DDIMScheduler, {}), "dpmpp_2m": (DPMSolverMultistepScheduler, dict(algorithm_type="dpmsolver++", solver_order=2))}
PROMPTS = [
    "a red apple", "a cat face", "a rocket", "a house", "a sunflower", "a slice of pizza", "a tropical fish", "a red heart",
    "a soccer ball", "a rainbow", "a penguin", "a birthday cake", "a grinning face", "a red car", "a tree", "a dog",
    "an umbrella", "a green apple", "a banana", "a cup of coffee", "a snowman", "a guitar", "the sun", "a crescent moon",
    "a red apple, noto style", "a red apple, twemoji style", "a red apple, flat style", "a red apple, 3d style",
    "a rocket on a blue background", "a cat face on a pink background", "a banana on a black background", "a red heart on a yellow background",
    "a ghost", "a robot", "a mushroom", "a bicycle", "a blue book", "a key", "a crown", "a butterfly"]
BATCH = 50


def scheduler_of(pipeline, sampler):
    kind, options = SAMPLERS[sampler]
    return kind.from_config(pipeline.scheduler.config, **options)


@torch.no_grad()
def sample(pipeline, prompts, seeds, guidance, steps, sampler, previews=False):
    """Returns float32 (n, 3, 64, 64) in 0..1, or with `previews` the list of the decoded predictions of every step."""
    scheduler = scheduler_of(pipeline, sampler)
    alphas = scheduler.alphas_cumprod
    out = []
    for start in range(0, len(prompts), BATCH):
        part = prompts[start:start + BATCH]
        ids = pipeline.tokenizer(["" for _ in part] + part, padding="max_length", truncation=True, return_tensors="pt").input_ids
        x = torch.cat([torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(s)) for s in seeds[start:start + BATCH]])
        scheduler.set_timesteps(steps)
        with torch.autocast(pipeline.device.type, dtype=torch.bfloat16, enabled=len(part) > 1):
            text = pipeline.text_encoder(ids.to(pipeline.device)).last_hidden_state
            x = x.to(pipeline.device)
            for t in scheduler.timesteps:
                if guidance == 1:
                    v = pipeline.unet(x, t, encoder_hidden_states=text[len(part):]).sample.float()
                else:
                    without, given = pipeline.unet(torch.cat([x, x]), t, encoder_hidden_states=text).sample.float().chunk(2)
                    v = without + guidance * (given - without)
                if previews:
                    out.append(alphas[t].sqrt() * x - (1 - alphas[t]).sqrt() * v)
                x = scheduler.step(v, t, x).prev_sample
        if not previews:
            out.append(x)
    return torch.cat([decode(pipeline, x) for x in out]) if not previews else [decode(pipeline, x) for x in out]


def decode(pipeline, latents):
    return (pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)


def grid(pictures, columns, path):
    """Writes float32 (n, 3, h, w) in 0..1 as a PNG with two white pixels between."""
    n, _, h, w = pictures.shape
    sheet = Image.new("RGB", (columns * (w + 2) - 2, -(-n // columns) * (h + 2) - 2), "white")
    for i, p in enumerate((pictures.permute(0, 2, 3, 1).cpu().numpy() * 255).round().astype(np.uint8)):
        sheet.paste(Image.fromarray(p), (i % columns * (w + 2), i // columns * (h + 2)))
    sheet.save(path)


def load_pipeline(path):
    pipeline = StableDiffusionPipeline.from_pretrained(path, safety_checker=None, requires_safety_checker=False)
    return pipeline.to("cuda" if torch.cuda.is_available() else "cpu", torch.float32)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--model", required=True)
    a.add_argument("--grid", required=True)
    a.add_argument("--prompts", nargs="+", default=PROMPTS)
    a.add_argument("--guidance", type=float, default=4.0)
    a.add_argument("--steps", type=int, default=20)
    a.add_argument("--sampler", choices=SAMPLERS, default="dpmpp_2m")
    a.add_argument("--seed", type=int, default=0)
    a = a.parse_args()
    pictures = sample(load_pipeline(a.model), a.prompts, [a.seed + i for i in range(len(a.prompts))], a.guidance, a.steps, a.sampler)
    grid(pictures, 8, a.grid)


if __name__ == "__main__":
    main()
