"""What diffusers 0.42.1 makes of the models in `../{sd15,sd21v,sdxl,inpaint}` with further requests, and of variants of them.

    python make.py        # writes cases.json, cases.safetensors, pictures and UNETs beside itself

A case is a request as in `../sd15/cases.json`, with `base` (the model's folder) and, for a variant of the model, `patch` (values written over
those of its files) and `unet` (a folder of another unet). `CASE.latents` are the final latents, `CASE.image` the pictures in 0..=255."""

import json
import os
import shutil
import tempfile

import numpy as np
import torch
from diffusers import (
    DDIMScheduler, DDPMScheduler, DEISMultistepScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler,
    HeunDiscreteScheduler, KDPM2AncestralDiscreteScheduler, LCMScheduler, PNDMScheduler, StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline, StableDiffusionPipeline, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline, UNet2DConditionModel, UniPCMultistepScheduler)
from diffusers.utils import logging
from PIL import Image, ImageFilter
from safetensors.torch import save_file
from transformers import CLIPTextModel

torch.set_num_threads(1)
logging.set_verbosity_error()
logging.disable_progress_bar()
if not hasattr(CLIPTextModel, "text_model"):  # diffusers looks for it with clip_skip
    CLIPTextModel.text_model = property(lambda model: model)
HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLERS = {
    "ddim": (DDIMScheduler, {}), "ddpm": (DDPMScheduler, {}), "pndm": (PNDMScheduler, {"skip_prk_steps": True}), "euler": (EulerDiscreteScheduler, {}),
    "euler_ancestral": (EulerAncestralDiscreteScheduler, {}), "heun": (HeunDiscreteScheduler, {}),
    "dpm2_ancestral": (KDPM2AncestralDiscreteScheduler, {}), "unipc": (UniPCMultistepScheduler, {}), "deis": (DEISMultistepScheduler, {}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "dpmpp_2m_sde": (DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}), "lcm": (LCMScheduler, {})}
PIPELINES = {
    (False, "txt2img"): StableDiffusionPipeline, (False, "img2img"): StableDiffusionImg2ImgPipeline, (False, "inpaint"): StableDiffusionInpaintPipeline,
    (True, "txt2img"): StableDiffusionXLPipeline, (True, "img2img"): StableDiffusionXLImg2ImgPipeline, (True, "inpaint"): StableDiffusionXLInpaintPipeline}
PROMPT = "An old lighthouse in a storm, oil painting"
IMG = dict(init_image="init.png", mode="img2img")
HOLE = dict(init_image="init.png", mask_image="mask.png", mode="inpaint")
ZERO_SNR = {"scheduler/scheduler_config.json": {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}}
STATISTICS = {"vae/config.json": {"latents_mean": [0.1, -0.2, 0.3, 0.0], "latents_std": [1.5, 0.8, 1.1, 2.0]}}
REFINER = {"model_index.json": {
    "_class_name": "StableDiffusionXLImg2ImgPipeline", "requires_aesthetics_score": True, "text_encoder": [None, None], "tokenizer": [None, None]}}

CASES = [
    *(dict(base="sd15", name=f"img2img_{s}", sampler=s, schedule=k, strength=0.6, steps=7, **IMG) for s, k in [
        ("ddpm", "default"), ("pndm", "default"), ("euler_ancestral", "default"), ("heun", "karras"), ("dpm2_ancestral", "karras"),
        ("dpmpp_2m_sde", "default"), ("unipc", "karras"), ("deis", "default"), ("lcm", "default")]),
    dict(base="sd15", name="img2img_strength_one", sampler="euler", strength=1.0, steps=4, **IMG),
    dict(base="sd15", name="img2img_other_size", sampler="ddim", strength=0.5, steps=8, width=80, height=48, **IMG),
    dict(base="sd15", name="inpaint_euler_ancestral", sampler="euler_ancestral", strength=1.0, steps=5, **HOLE),
    dict(base="sd15", name="inpaint_heun", sampler="heun", strength=0.7, steps=6, **HOLE),
    dict(base="sd15", name="inpaint_sde", sampler="dpmpp_2m_sde", schedule="karras", strength=0.8, steps=5, guidance_scale=1.0, **HOLE),
    dict(base="sd15", name="inpaint_other_size", sampler="ddim", strength=0.9, steps=5, width=48, height=72, **HOLE),
    dict(base="sd15", name="clip_skip_2", sampler="ddim", clip_skip=2, negative_prompt="fog", steps=3),
    dict(base="sd15", name="weak_guidance", sampler="ddim", guidance_scale=0.5, eta=0.4, steps=3),
    dict(base="sd21v", name="zero_snr_ddim", sampler="ddim", guidance_rescale=0.7, steps=5, patch=ZERO_SNR),
    dict(base="sd21v", name="zero_snr_euler", sampler="euler", steps=5, patch=ZERO_SNR),
    dict(base="sd21v", name="zero_snr_dpmpp_2m", sampler="dpmpp_2m", steps=5, patch=ZERO_SNR),
    dict(base="sdxl", name="xl_img2img", sampler="euler", strength=0.6, steps=6, negative_prompt="fog", seeds=[7, 8], **IMG),
    dict(base="sdxl", name="xl_img2img_statistics", sampler="ddim", strength=0.6, steps=5, patch=STATISTICS, **IMG),
    dict(base="sdxl", name="xl_inpaint", sampler="euler_ancestral", strength=0.8, steps=5, clip_skip=1, **HOLE),
    dict(base="sdxl", name="xl_inpaint_strength_one", sampler="ddim", strength=1.0, steps=4, guidance_rescale=0.5, patch=STATISTICS, **HOLE),
    dict(base="sdxl", name="xl_empty_text_is_encoded", sampler="euler", steps=3, width=48, height=80, patch={"model_index.json": {"force_zeros_for_empty_prompt": False}}),
    dict(base="sdxl", name="xl_refiner", sampler="euler", strength=0.5, steps=6, negative_prompt="fog", patch=REFINER, unet="refiner", **IMG),
    dict(base="inpaint", name="seen_euler_ancestral", sampler="euler_ancestral", strength=1.0, steps=5, **HOLE),
    dict(base="inpaint", name="seen_heun", sampler="heun", strength=0.6, steps=5, guidance_scale=1.0, **HOLE),
    dict(base="sd15", name="distilled_guidance", sampler="lcm", steps=4, guidance_scale=8.5, unet="distilled"),
]


def pictures():
    random = np.random.RandomState(11)
    init = Image.fromarray((random.rand(6, 7, 3) * 255).astype("uint8")).resize((72, 56), Image.BICUBIC)
    init.save(f"{HERE}/init.png")
    mask = Image.new("RGB", (50, 60), 0)
    mask.paste((255, 255, 0), (10, 20, 40, 50))
    mask.filter(ImageFilter.GaussianBlur(3)).save(f"{HERE}/mask.png")


@torch.no_grad()
def unets():
    small = dict(block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, sample_size=32, attention_head_dim=2,
                 down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
    options = {
        "distilled": dict(small, cross_attention_dim=32, time_cond_proj_dim=16),
        "refiner": dict(small, cross_attention_dim=48, addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=40 + 5 * 8)}
    for name, config in options.items():
        torch.manual_seed(4)
        unet = UNet2DConditionModel(**config)
        for parameter in unet.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
        unet.conv_out.weight.mul_(4)
        unet.half().save_pretrained(f"{HERE}/{name}")


def model(case, folder):
    """The model of a case, as a folder."""
    shutil.copytree(f"{HERE}/../{case['base']}/model", folder)
    for file, values in case.get("patch", {}).items():
        with open(f"{folder}/{file}") as f:
            patched = {**json.load(f), **values}
        with open(f"{folder}/{file}", "w") as f:
            json.dump(patched, f)
    if "unet" in case:
        shutil.rmtree(f"{folder}/unet")
        shutil.copytree(f"{HERE}/{case['unet']}", f"{folder}/unet")
    return folder


@torch.no_grad()
def make(case):
    with tempfile.TemporaryDirectory() as scratch:
        folder = model(case, f"{scratch}/model")
        xl = case["base"] == "sdxl"
        pipeline = PIPELINES[xl, case.get("mode", "txt2img")].from_pretrained(folder, torch_dtype=torch.float32, **({"add_watermarker": False} if xl else {"safety_checker": None}))
        scheduler, options = SAMPLERS[case["sampler"]]
        if case.get("schedule") == "karras":
            options = {**options, "use_karras_sigmas": True}
        with open(f"{folder}/scheduler/scheduler_config.json") as f:
            pipeline.scheduler = scheduler.from_config(json.load(f), **options)
    pipeline.set_progress_bar_config(disable=True)
    size = dict(width=case["width"], height=case["height"])
    call = dict(prompt=case["prompt"], negative_prompt=case.get("negative_prompt"), num_inference_steps=case["steps"], guidance_scale=case["guidance_scale"])
    call |= {key: case[key] for key in ("clip_skip", "guidance_rescale", "eta", "strength") if key in case}
    if "init_image" in case:
        picture = Image.open(f"{HERE}/{case['init_image']}")
        # Image-to-image takes the picture's own size; inpainting takes it to the size of the request itself.
        call["image"] = picture if case["mode"] == "inpaint" else picture.resize((case["width"], case["height"]), Image.LANCZOS)
    if "mask_image" in case:
        call["mask_image"] = Image.open(f"{HERE}/{case['mask_image']}")
    if case.get("mode") != "img2img":
        call |= size
    latents, images = [], []
    for seed in case["seeds"]:
        result = pipeline(**call, generator=torch.Generator("cpu").manual_seed(seed), output_type="latent").images
        latents.append(result)
        decoded = pipeline(**call, generator=torch.Generator("cpu").manual_seed(seed), output_type="np").images
        images.append(torch.from_numpy(decoded).permute(0, 3, 1, 2).mul(255).round().to(torch.uint8))
    print(case["name"], round(latents[0].std().item(), 3), round(images[0].float().std().item(), 1), flush=True)
    return {f"{case['name']}.latents": torch.cat(latents).contiguous(), f"{case['name']}.image": torch.cat(images).contiguous()}


if __name__ == "__main__":
    pictures()
    unets()
    tensors, defaults = {}, dict(prompt=PROMPT, guidance_scale=3.0, width=64, height=64, schedule="default")
    cases = [{**defaults, "seeds": [1000 + i], **case} for i, case in enumerate(CASES)]
    for one in cases:
        tensors |= make(one)
    save_file(tensors, f"{HERE}/cases.safetensors")
    with open(f"{HERE}/cases.json", "w") as f:
        json.dump({"cases": cases}, f, indent=1)
