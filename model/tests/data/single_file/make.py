"""Small checkpoints in the layout of the LDM code, as lists of tensors, and the pictures that diffusers 0.42.1 makes of them.

    python make.py        # writes FAMILY.json (names and shapes) and cases.safetensors beside itself

No weights are stored: every number follows from its tensor's name and its place (`values`), and the test makes the same ones. diffusers' own
converters take the LDM names to the networks, which they must fill completely."""

import json
import os
import zlib

import numpy as np
import torch
from diffusers import (
    AutoencoderKL, DDIMScheduler, EulerDiscreteScheduler, PNDMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel)
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint, convert_open_clip_checkpoint
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))
UNET, VAE = "model.diffusion_model", "first_stage_model"
PROMPT, STEPS, GUIDANCE = "A red fox in the snow!", 4, 2.0
SCHEDULER = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)


def values(name, shape):
    """Numbers between -1 and 1, spread by a hash, in units that keep activations in range."""
    n = int(np.prod(shape))
    x = np.arange(n, dtype=np.uint32) + np.uint32(zlib.crc32(name.encode()))
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    x ^= x >> np.uint32(16)
    unit = (x >> np.uint32(8)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)
    if "embedding" in name:
        scaled = unit
    elif len(shape) == 1:
        scaled = unit * np.float32(0.125) + np.float32(1 if "norm" in name or "ln_" in name or is_norm(name) else 0)
    else:
        scaled = unit * np.float32(1.5 / np.sqrt(n / shape[0]))
    return torch.from_numpy(scaled.reshape(shape))


def is_norm(name):
    """Of normalisations that have no name, but a number in a sequence."""
    return name.endswith(".weight") and any(part in name for part in (".in_layers.0.", ".out_layers.0.", ".out.0."))


def unet_names(unet):
    """LDM's name of each tensor of the UNet."""
    layers, levels = unet.config.layers_per_block, len(unet.config.block_out_channels)
    resnet = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
    fixed = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "add_embedding.linear_1": "label_emb.0.0",
             "add_embedding.linear_2": "label_emb.0.2", "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}

    def part(rest):
        head, tail = rest.split(".", 1)
        return f"{resnet[head]}.{tail}"

    names = {}
    for name in unet.state_dict():
        words = name.split(".")
        stem, kind = name.rsplit(".", 1)
        if stem in fixed:
            new = f"{fixed[stem]}.{kind}"
        elif words[0] == "mid_block":
            rest = ".".join(words[3:])
            new = f"middle_block.{2 * int(words[2])}.{part(rest)}" if words[1] == "resnets" else f"middle_block.1.{rest}"
        else:
            block, layer, rest = int(words[1]), int(words[3]), ".".join(words[4:])
            down = words[0] == "down_blocks"
            place = (1 if down else 0) + block * (layers + 1)
            row = "input_blocks" if down else "output_blocks"
            if words[2] == "resnets":
                new = f"{row}.{place + layer}.0.{part(rest)}"
            elif words[2] == "attentions":
                new = f"{row}.{place + layer}.1.{rest}"
            elif words[2] == "downsamplers":
                new = f"{row}.{place + layers}.0.op.{kind}"
            else:  # after the attention of the block's last layer, if there is one
                attends = unet.config.up_block_types[block].startswith("CrossAttn")
                new = f"{row}.{place + layers}.{2 if attends else 1}.conv.{kind}"
        names[f"{UNET}.{new}"] = name
    assert levels == len(unet.down_blocks)
    return names


def vae_names(vae):
    last = len(vae.config.block_out_channels) - 1
    attention = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
    names = {}
    for name in vae.state_dict():
        words = name.split(".")
        new = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        if words[1] in ("down_blocks", "up_blocks"):
            way = words[1].split("_")[0]
            level = int(words[2]) if way == "down" else last - int(words[2])
            rest = ".".join(new.split(".")[5:])
            new = f"{words[0]}.{way}.{level}." + (f"block.{words[4]}.{rest}" if words[3] == "resnets" else f"{way}sample.{rest}")
        elif words[1] == "mid_block":
            rest = ".".join(words[4:])
            if words[2] == "resnets":
                new = f"{words[0]}.mid.block_{int(words[3]) + 1}.{rest}"
            else:
                stem, kind = rest.rsplit(".", 1)
                new = f"{words[0]}.mid.attn_1.{attention[stem]}.{kind}"
        names[f"{VAE}.{new}"] = name
    return names


def open_clip_tensors(prefix, config, layers):
    """OpenCLIP's tensors have no counterpart one by one: queries, keys and values are joined, the projection is transposed."""
    hidden, inner = config.hidden_size, config.intermediate_size
    tensors = {"positional_embedding": (77, hidden), "token_embedding.weight": (49408, hidden), "text_projection": (hidden, config.projection_dim),
               "ln_final.weight": (hidden,), "ln_final.bias": (hidden,)}
    for i in range(layers):
        shapes = {"ln_1.weight": (hidden,), "ln_1.bias": (hidden,), "ln_2.weight": (hidden,), "ln_2.bias": (hidden,),
                  "attn.in_proj_weight": (3 * hidden, hidden), "attn.in_proj_bias": (3 * hidden,), "attn.out_proj.weight": (hidden, hidden),
                  "attn.out_proj.bias": (hidden,), "mlp.c_fc.weight": (inner, hidden), "mlp.c_fc.bias": (inner,), "mlp.c_proj.weight": (hidden, inner),
                  "mlp.c_proj.bias": (hidden,)}
        tensors |= {f"transformer.resblocks.{i}.{name}": shape for name, shape in shapes.items()}
    return {f"{prefix}.{name}": shape for name, shape in tensors.items()}


def tokenizer(pad):
    with open(f"{HERE}/../../../src/tokenizer/merges.txt", encoding="utf-8") as f:
        merges = [tuple(line.split()) for line in f.read().split("\n")[1:] if line]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    tokens = letters + [c + "</w>" for c in letters] + [a + b for a, b in merges] + ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=merges, pad_token=pad, model_max_length=77)


def text_config(hidden, layers, act, projection=None):
    return CLIPTextConfig(
        vocab_size=49408, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers, num_attention_heads=hidden // 64, hidden_act=act,
        bos_token_id=49406, eos_token_id=49407, pad_token_id=49407, projection_dim=projection or hidden)


def load(network, tensors, prefix=""):
    """All of a network's tensors, none left over; newer versions of transformers have dropped a part of the names."""
    own = network.state_dict()
    short = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    tensors = tensors if all(name in own for name in tensors) else short
    network.load_state_dict({name: tensor for name, tensor in tensors.items() if name in own}, strict=True)
    return network.eval()


def make(family):
    heads_of = dict(use_linear_projection=True)
    kinds = {
        "v1": dict(block_out_channels=(32, 64), attention_head_dim=8, cross_attention_dim=64, layers_per_block=2),
        "v2": dict(heads_of, block_out_channels=(64, 128), attention_head_dim=(1, 2), cross_attention_dim=128, layers_per_block=1),
        "xl": dict(heads_of, block_out_channels=(64, 128), attention_head_dim=(1, 2), cross_attention_dim=192, layers_per_block=1, transformer_layers_per_block=(1, 2),
                   addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=64 + 6 * 8)}
    plain = family == "xl"
    unet = UNet2DConditionModel(
        sample_size=32, down_block_types=("DownBlock2D" if plain else "CrossAttnDownBlock2D", "CrossAttnDownBlock2D" if plain else "DownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D" if plain else "UpBlock2D", "UpBlock2D" if plain else "CrossAttnUpBlock2D"), **kinds[family])
    vae = AutoencoderKL(
        block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=32, sample_size=64, scaling_factor=0.13025 if family == "xl" else 0.18215,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)

    shapes = {name: unet.state_dict()[own].shape for name, own in unet_names(unet).items()}
    for name, own in vae_names(vae).items():
        shape = tuple(vae.state_dict()[own].shape)
        shapes[name] = (*shape, 1, 1) if ".mid.attn_1." in name and len(shape) == 2 else shape
    if family in ("v1", "xl"):
        first = CLIPTextModel(text_config(64, 2, "quick_gelu"))
        prefix = "cond_stage_model.transformer.text_model" if family == "v1" else "conditioner.embedders.0.transformer.text_model"
        shapes |= {f"{prefix}.{name.removeprefix('text_model.')}": tensor.shape for name, tensor in first.state_dict().items() if "position_ids" not in name}
    if family == "v2":
        first = CLIPTextModel(text_config(128, 2, "gelu"))
        open_prefix = "cond_stage_model.model"
        shapes |= open_clip_tensors(open_prefix, first.config, 3)  # one more than are used
    if family == "xl":
        second = CLIPTextModelWithProjection(text_config(128, 2, "gelu", 64))
        open_prefix = "conditioner.embedders.1.model"
        shapes |= open_clip_tensors(open_prefix, second.config, 2)
    shapes = {name: [int(n) for n in shape] for name, shape in shapes.items()}
    ldm = {name: values(name, shape) for name, shape in shapes.items()}

    load(unet, convert_ldm_unet_checkpoint(dict(ldm), unet.config))
    load(vae, convert_ldm_vae_checkpoint(dict(ldm), vae.config))
    if family in ("v1", "xl"):
        load(first, {name.split(".transformer.")[1]: tensor for name, tensor in ldm.items() if ".transformer.text_model." in name})
    if family in ("v2", "xl"):
        network = first if family == "v2" else second
        load(network, convert_open_clip_checkpoint(network, dict(ldm), prefix=open_prefix + "."))

    if family == "xl":
        scheduler = EulerDiscreteScheduler(**SCHEDULER, timestep_spacing="leading")
        pipeline = StableDiffusionXLPipeline(vae, first, second, tokenizer("<|endoftext|>"), tokenizer("!"), unet, scheduler, add_watermarker=False)
    else:
        options = dict(SCHEDULER, set_alpha_to_one=False)
        scheduler = PNDMScheduler(**options, skip_prk_steps=True) if family == "v1" else DDIMScheduler(**options, clip_sample=False, prediction_type="v_prediction")
        pipeline = StableDiffusionPipeline(vae, first, tokenizer("<|endoftext|>" if family == "v1" else "!"), unet, scheduler, None, None, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    call = dict(prompt=PROMPT, num_inference_steps=STEPS, guidance_scale=GUIDANCE, width=64, height=64)
    draw = lambda kind: pipeline(**call, generator=torch.Generator("cpu").manual_seed(3), output_type=kind).images
    latents, image = draw("latent"), torch.from_numpy(draw("np")).permute(0, 3, 1, 2)
    print(family, len(shapes), "tensors", latents.std().item(), image.std().item())
    with open(f"{HERE}/{family}.json", "w") as f:
        json.dump(shapes, f, indent=0)
    return {f"{family}.latents": latents.contiguous(), f"{family}.image": image.mul(255).round().to(torch.uint8).contiguous()}


if __name__ == "__main__":
    with torch.no_grad():
        tensors = {}
        for family in ("v1", "v2", "xl"):
            tensors |= make(family)
        save_file(tensors, f"{HERE}/cases.safetensors")
