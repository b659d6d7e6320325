"""What diffusers 0.42.1 makes of the embedded model `emoji` in float32: real, trained weights in place of random ones.

    python make.py        # writes init.png, mask.png, cases.json and cases.safetensors beside itself

A case is a request as in `../sd15/cases.json`. `CASE.latents` are the final latents, `CASE.image` the pictures in 0..=255."""

import json
import os

import torch
from diffusers import (
    DDIMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline, StableDiffusionPipeline, UniPCMultistepScheduler)
from diffusers.utils import logging
from PIL import Image, ImageDraw
from safetensors.torch import save_file

torch.set_num_threads(1)
logging.set_verbosity_error()
HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLERS = {
    "ddim": (DDIMScheduler, {}), "euler": (EulerDiscreteScheduler, {}), "euler_ancestral": (EulerAncestralDiscreteScheduler, {}),
    "unipc": (UniPCMultistepScheduler, {}), "dpmpp_2m": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2})}
PIPELINES = {"txt2img": StableDiffusionPipeline, "img2img": StableDiffusionImg2ImgPipeline, "inpaint": StableDiffusionInpaintPipeline}
CASES = [
    dict(name="first_picture", prompt="a red apple", seeds=[0, 1, 2, 3]),
    dict(name="style", prompt="a cat face, 3d style", seeds=[4, 5]),
    dict(name="background", prompt="a rocket on a blue background", seeds=[6]),
    dict(name="negative_prompt", prompt="a sunflower", negative_prompt="flat style", seeds=[7]),
    dict(name="without_guidance", prompt="a house", guidance_scale=1.0, seeds=[8]),
    dict(name="ddim", prompt="a penguin", sampler="ddim", steps=30, seeds=[9]),
    dict(name="euler_karras", prompt="a slice of pizza", sampler="euler", schedule="karras", seeds=[10]),
    dict(name="euler_ancestral", prompt="a birthday cake", sampler="euler_ancestral", steps=25, guidance_scale=6.0, seeds=[11]),
    dict(name="unipc", prompt="a red heart", sampler="unipc", steps=10, seeds=[12]),
    dict(name="img2img", prompt="a tomato", mode="img2img", init_image="init.png", strength=0.7, seeds=[13]),
    dict(name="inpaint", prompt="a red apple", mode="inpaint", init_image="init.png", mask_image="mask.png", strength=1.0, seeds=[14])]
DEFAULTS = dict(sampler="dpmpp_2m", schedule="default", steps=20, guidance_scale=4.0, width=64, height=64)


def draw():
    init, mask = Image.new("RGB", (64, 64), "white"), Image.new("L", (64, 64), 0)
    ImageDraw.Draw(init).ellipse((10, 12, 54, 56), fill=(214, 40, 40))
    ImageDraw.Draw(mask).rectangle((32, 0, 63, 63), fill=255)
    init.save(f"{HERE}/init.png")
    mask.save(f"{HERE}/mask.png")


@torch.no_grad()
def make(case):
    pipeline = PIPELINES[case.get("mode", "txt2img")].from_pretrained(f"{HERE}/model", torch_dtype=torch.float32, safety_checker=None)
    scheduler, options = SAMPLERS[case["sampler"]]
    if case["schedule"] == "karras":
        options = {**options, "use_karras_sigmas": True}
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, **options)
    pipeline.set_progress_bar_config(disable=True)
    call = dict(prompt=case["prompt"], negative_prompt=case.get("negative_prompt"), num_inference_steps=case["steps"], guidance_scale=case["guidance_scale"])
    if "strength" in case:
        call["strength"] = case["strength"]
    for field, argument in (("init_image", "image"), ("mask_image", "mask_image")):
        if field in case:
            call[argument] = Image.open(f"{HERE}/{case[field]}")
    latents, images = [], []
    for seed in case["seeds"]:
        latents.append(pipeline(**call, generator=torch.Generator("cpu").manual_seed(seed), output_type="latent").images)
        decoded = pipeline(**call, generator=torch.Generator("cpu").manual_seed(seed), output_type="np").images
        images.append(torch.from_numpy(decoded).permute(0, 3, 1, 2).mul(255).round().to(torch.uint8))
    print(case["name"], flush=True)
    return {f"{case['name']}.latents": torch.cat(latents).contiguous(), f"{case['name']}.image": torch.cat(images).contiguous()}


if __name__ == "__main__":
    draw()
    tensors, cases = {}, [{**DEFAULTS, **case} for case in CASES]
    for one in cases:
        tensors |= make(one)
    save_file(tensors, f"{HERE}/cases.safetensors")
    with open(f"{HERE}/cases.json", "w") as f:
        json.dump({"cases": cases}, f, indent=1)
