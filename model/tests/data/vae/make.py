"""Makes small autoencoders with random weights, and what diffusers 0.42.1 computes with them.

    python make.py        # writes NAME/{config.json, diffusion_pytorch_model.safetensors, case.safetensors} beside itself

Weights are float16 on disk and computed with in float32. `bare` lacks all that an AutoencoderKL may lack; `tiled` is an
AutoencoderKL that cuts what is larger than 32 pixels (`tiled.*`: with tiles, the others without); `taesd` is an AutoencoderTiny."""

import os

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from safetensors.torch import save_file

torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))
SMALL = dict(
    block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, sample_size=32,
    down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)


def wake(model):
    torch.manual_seed(5)
    for parameter in model.parameters():
        parameter.copy_(torch.randn_like(parameter) * (0.1 if parameter.ndim == 1 else 1.2 / parameter[0].numel() ** 0.5))
    for name, parameter in model.named_parameters():
        if "norm" in name and name.endswith("weight"):
            parameter.add_(1)
    return model.eval()


def save(name, model, case):
    save_file({key: value.contiguous() for key, value in case.items()}, f"{HERE}/{name}/case.safetensors")
    print(name, {key: (tuple(value.shape), round(value.std().item(), 3)) for key, value in case.items()})


def write(name, model):
    model.half().save_pretrained(f"{HERE}/{name}")
    return model.float()


def kl(name, model, size):
    torch.manual_seed(6)
    image = torch.rand(1, 3, *size) * 2 - 1
    distribution = model.encode(image).latent_dist
    case = dict(image=image, mean=distribution.mean, logvar=distribution.logvar, decoded_mean=model.decode(distribution.mean).sample)
    if name == "tiled":
        model.enable_tiling()
        case["tiled.mean"] = model.encode(image).latent_dist.mean
        case["tiled.decoded_mean"] = model.decode(distribution.mean).sample
    save(name, model, case)


with torch.no_grad():
    kl("bare", write("bare", wake(AutoencoderKL(
        **SMALL, latent_channels=5, use_quant_conv=False, use_post_quant_conv=False, mid_block_add_attention=False, act_fn="gelu"))), (8, 16))
    kl("tiled", write("tiled", wake(AutoencoderKL(**SMALL))), (58, 70))

    tiny = write("taesd", wake(AutoencoderTiny(
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), num_encoder_blocks=(1, 2), num_decoder_blocks=(2, 1))))
    torch.manual_seed(7)
    image, latents = torch.rand(2, 3, 8, 12) * 2 - 1, torch.randn(2, 4, 4, 6) * 2
    save("taesd", tiny, dict(image=image, encoded=tiny.encode(image).latents, latents=latents, decoded=tiny.decode(latents).sample))
