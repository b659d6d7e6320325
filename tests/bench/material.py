"""What all contestants are given: a model folder with random weights, and inputs."""

import importlib.util
import json
import os

import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location("full_size", f"{HERE}/../full_size/make.py")
full_size = importlib.util.module_from_spec(spec)
spec.loader.exec_module(full_size)


def model(folder):
    """The folder of a model of Stable Diffusion 1.5's size."""
    path = f"{folder}/models/full-size"
    if not os.path.exists(f"{path}/model_index.json"):
        full_size.folder(f"{folder}/models")
    return path


def config(model, network):
    with open(f"{model}/{network}/config.json") as file:
        return json.load(file)


def inputs(folder, model, stage, size, rows):
    """A safetensors file of a stage's inputs, for pictures of `size` × `size` pixels."""
    generator = torch.Generator().manual_seed(1)
    unet, vae, text = (config(model, network) for network in ("unet", "vae", "text_encoder"))
    latent = size // 2 ** (len(vae["block_out_channels"]) - 1)
    tokens = text.get("max_position_embeddings", 77)
    tensors = {
        "unet": lambda: {
            "unet.sample": torch.randn(rows, unet["in_channels"], latent, latent, generator=generator),
            "unet.timestep": torch.full((rows,), 500.0),
            "unet.encoder_hidden_states": torch.randn(rows, tokens, unet["cross_attention_dim"], generator=generator),
        },
        "vae_decode": lambda: {"vae_decode.latents": torch.randn(rows, vae["latent_channels"], latent, latent, generator=generator)},
        "text_encoder": lambda: {"text_encoder.input_ids": torch.randint(0, text["vocab_size"], (rows, tokens), generator=generator)},
    }[stage]()
    path = f"{folder}/{stage}-{size}-{rows}.safetensors"
    save_file(tensors, path)
    return path
