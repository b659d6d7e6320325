"""The textbook's walk through a Stable Diffusion pipeline, step by step, with the test model in `../sd15`.

    python make.py        # writes case.safetensors beside itself (torch 2.15, diffusers 0.42.1, transformers 5.23.0)

No pipeline object makes the picture: the parts are called one after the other."""

import os

import torch
from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = f"{HERE}/../sd15/model"

prompt = "Acrylic palette knife painting of a flower"
height, width = 64, 64
steps, guidance_scale, seed = 30, 7.5, 32

tokenizer = CLIPTokenizer.from_pretrained(f"{MODEL}/tokenizer")
text_encoder = CLIPTextModel.from_pretrained(f"{MODEL}/text_encoder", dtype=torch.float32).eval()
unet = UNet2DConditionModel.from_pretrained(f"{MODEL}/unet", dtype=torch.float32).eval()
vae = AutoencoderKL.from_pretrained(f"{MODEL}/vae", dtype=torch.float32).eval()
scheduler = PNDMScheduler.from_pretrained(f"{MODEL}/scheduler")


@torch.no_grad()
def walk():
    def embed(text):
        ids = tokenizer(text, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt").input_ids
        return ids, text_encoder(ids)[0]

    ids, conditional = embed(prompt)
    _, unconditional = embed("")
    scheduler.set_timesteps(steps)
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    latents = torch.randn((1, unet.config.in_channels, height // scale, width // scale), generator=torch.Generator("cpu").manual_seed(seed))
    case = dict(ids=ids, embeddings=torch.cat([unconditional, conditional]), noise=latents.clone())
    latents = latents * scheduler.init_noise_sigma
    for i, t in enumerate(scheduler.timesteps):
        both = scheduler.scale_model_input(torch.cat([latents] * 2), t)
        noise, noise_text = unet(both, t, encoder_hidden_states=case["embeddings"]).sample.chunk(2)
        latents = scheduler.step(noise + guidance_scale * (noise_text - noise), t, latents).prev_sample
        if i == 0:
            case["first_latents"] = latents.clone()
    image = (vae.decode(latents / vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)
    return case | dict(timesteps=scheduler.timesteps, latents=latents, image=(image * 255).round().to(torch.uint8))


case = walk()
save_file({key: value.contiguous() for key, value in case.items()}, f"{HERE}/case.safetensors")
print({key: tuple(value.shape) for key, value in case.items()}, case["latents"].std().item())
