"""Makes a model of Stable Diffusion 1.5's full size with random float16 weights, in both layouts, to try loading, time and memory with.

    python make.py OUT      # OUT/full-size/ in diffusers' layout, OUT/full-size-ldm.safetensors as one checkpoint; 4.3 GB in all

Needs torch, diffusers, transformers and safetensors (the versions of model/training/fashion/requirements.txt). The pictures mean nothing."""

import importlib.util
import json
import os
import sys

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

HERE = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location("names", f"{HERE}/../../model/tests/data/single_file/make.py")
names = importlib.util.module_from_spec(spec)
spec.loader.exec_module(names)


def filled(network):
    """A random float16 tensor for each of the network's, small enough that activations stay in range."""
    generator, tensors = torch.Generator().manual_seed(0), {}
    for name, tensor in network.state_dict().items():
        if "position_ids" in name:
            continue
        if tensor.ndim == 1:
            value = torch.ones(tensor.shape) if name.endswith("weight") else torch.zeros(tensor.shape)
        else:
            value = torch.randn(tensor.shape, generator=generator) * (0.7 / (tensor.numel() / tensor.shape[0]) ** 0.5)
        tensors[name] = value.half()
    return tensors


def save(folder, file, config, tensors):
    os.makedirs(folder, exist_ok=True)
    save_file(tensors, f"{folder}/{file}.safetensors")
    with open(f"{folder}/config.json", "w") as f:
        json.dump(dict(config), f, default=list)


def networks():
    """UNet, autoencoder and text encoder without weights, by their folders' names, and the names of their files."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=512,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
        text = CLIPTextModel(CLIPTextConfig(
            vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, hidden_act="quick_gelu",
            bos_token_id=49406, eos_token_id=49407, pad_token_id=49407, projection_dim=768))
    weights = "diffusion_pytorch_model"
    return {"unet": (unet, weights), "vae": (vae, weights), "text_encoder": (text, "model")}


def folder(out):
    """Writes OUT/full-size/."""
    path = f"{out}/full-size"
    for name, (network, file) in networks().items():
        save(f"{path}/{name}", file, network.config.to_dict() if name == "text_encoder" else network.config, filled(network))
    names.tokenizer("<|endoftext|>").save_pretrained(f"{path}/tokenizer")
    scheduler = {"_class_name": "PNDMScheduler", **names.SCHEDULER, "skip_prk_steps": True, "set_alpha_to_one": False, "clip_sample": False}
    os.makedirs(f"{path}/scheduler", exist_ok=True)
    with open(f"{path}/scheduler/scheduler_config.json", "w") as f:
        json.dump(scheduler, f)
    index = {
        "_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"], "scheduler": ["diffusers", "PNDMScheduler"]}
    with open(f"{path}/model_index.json", "w") as f:
        json.dump(index, f)


def checkpoint(out):
    """Writes OUT/full-size-ldm.safetensors."""
    whole = {}
    for name, (network, _) in networks().items():
        tensors = filled(network)
        if name == "text_encoder":
            whole |= {f"cond_stage_model.transformer.text_model.{k.removeprefix('text_model.')}": v for k, v in tensors.items()}
        else:
            own = names.unet_names(network) if name == "unet" else names.vae_names(network)
            whole |= {ldm: tensors[key].clone() for ldm, key in own.items()}
    save_file(whole, f"{out}/full-size-ldm.safetensors")


if __name__ == "__main__":
    folder(sys.argv[1])
    checkpoint(sys.argv[1])
