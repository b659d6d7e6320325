"""Small UNet2DModels with the options that the models in `class` and `uncond` do not use, and what diffusers computes with them.

usage: python make.py   (torch 2.15, diffusers 0.42)
NAME/config.json and NAME/diffusion_pytorch_model.safetensors (float16), NAME/case.safetensors: sample, timestep, classes, out."""
import os

import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file, save_file

PLAIN = dict(down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"))
ATTENTION = dict(down_block_types=("AttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "AttnUpBlock2D"))
LEGACY = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

VARIANTS = {
    "scale_shift": dict(ATTENTION, resnet_time_scale_shift="scale_shift", downsample_type="resnet", upsample_type="resnet", attention_head_dim=4),
    "fourier": dict(PLAIN, time_embedding_type="fourier", mid_block_scale_factor=1.4142135, resnet_time_scale_shift="scale_shift", attn_norm_num_groups=2),
    "learned": dict(PLAIN, time_embedding_type="learned", num_train_timesteps=50, class_embed_type="timestep", time_embedding_dim=24, layers_per_block=2),
    "identity": dict(PLAIN, class_embed_type="identity", center_input_sample=True, act_fn="relu", add_attention=False, mid_block_scale_factor=2.0),
    "no_middle": dict(ATTENTION, mid_block_type=None, sample_size=(8, 12), in_channels=2, out_channels=4, act_fn="gelu", downsample_padding=0, num_class_embeds=5),
    "legacy": dict(down_block_types=("UNetResAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UNetResAttnUpBlock2D"), attention_head_dim=None, freq_shift=1, flip_sin_to_cos=False),
}

torch.manual_seed(7)
torch.set_num_threads(1)
for name, options in VARIANTS.items():
    options = dict(dict(sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, attention_head_dim=8), **options)
    model = UNet2DModel(**options).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim == 1:
                p.add_(torch.randn_like(p) * 0.1)
        if name == "learned":
            model.class_embedding.linear_2.weight.mul_(3)
    model.half().save_pretrained(name)
    model.float()
    size = options["sample_size"]
    height, width = size if isinstance(size, tuple) else (size, size)
    tensors = dict(sample=torch.randn(3, options["in_channels"], height, width), timestep=torch.tensor([49, 20, 1]))
    if name in ("learned", "no_middle"):
        tensors["classes"] = torch.tensor([0, 4, 2])
    if name == "identity":
        tensors["classes"] = torch.randn(3, 32)
    with torch.no_grad():
        tensors["out"] = model(tensors["sample"], tensors["timestep"], class_labels=tensors.get("classes")).sample.contiguous()
    save_file(tensors, f"{name}/case.safetensors")
    if name == "legacy":
        path = f"{name}/diffusion_pytorch_model.safetensors"
        weights = load_file(path)
        for new, old in LEGACY.items():
            weights = {key.replace(f".{new}.", f".{old}."): value for key, value in weights.items()}
        save_file(weights, path, metadata={"format": "pt"})
