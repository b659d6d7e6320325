"""Makes small UNet2DConditionModels with random weights, one for each group of options, and what diffusers 0.42.1 computes with them.

    python make.py        # writes NAME/{config.json, diffusion_pytorch_model.safetensors, case.safetensors} beside itself

Weights are float16 on disk and computed with in float32. The rows of each case have different timesteps."""

import os

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))
CROSS = dict(
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    block_out_channels=(8, 16), norm_num_groups=4, cross_attention_dim=12, attention_head_dim=2, layers_per_block=1, sample_size=8)

VARIANTS = {
    # depths for each layer, another number on the way up, a middle block without attention to the text
    "nested": dict(
        CROSS, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), block_out_channels=(8, 8, 16), layers_per_block=(1, 2, 1),
        transformer_layers_per_block=[[1], [2, 1], [1]], reverse_transformer_layers_per_block=[[1, 2], [1, 1, 2], [1, 1]],
        only_cross_attention=(False, True, False), mid_block_type="UNetMidBlock2D", cross_attention_dim=(12, 12, 12), attention_head_dim=(2, 2, 4)),
    # sizes that do not halve evenly, heads that do not divide the channels, centred input, other kernels and padding
    "odd": dict(
        CROSS, down_block_types=("CrossAttnDownBlock2D",) * 3, up_block_types=("CrossAttnUpBlock2D",) * 3, block_out_channels=(8, 12, 16),
        attention_head_dim=(2, 5, 4), center_input_sample=True, conv_in_kernel=5, conv_out_kernel=1, flip_sin_to_cos=False, freq_shift=1,
        mid_block_scale_factor=1.4, norm_eps=1e-4, use_linear_projection=True, transformer_layers_per_block=(1, 1, 2)),
    # no middle block, times that scale and shift, other activations, a projection of the text, an embedding of the guidance scale
    "distilled": dict(
        CROSS, mid_block_type=None, resnet_time_scale_shift="scale_shift", act_fn="gelu", timestep_post_act="silu", time_embedding_act_fn="gelu",
        encoder_hid_dim=10, encoder_hid_dim_type="text_proj", time_cond_proj_dim=6, time_embedding_dim=24),
    "fourier": dict(CROSS, time_embedding_type="fourier"),
    "class_table": dict(CROSS, num_class_embeds=5, class_embeddings_concat=True),
    "class_timestep": dict(CROSS, class_embed_type="timestep"),
    "class_identity": dict(CROSS, class_embed_type="identity"),
    "class_projection": dict(CROSS, class_embed_type="projection", projection_class_embeddings_input_dim=7),
    "class_simple_projection": dict(CROSS, class_embed_type="simple_projection", projection_class_embeddings_input_dim=7),
}
SIZES = {"odd": (13, 9), "nested": (8, 12)}


def inputs(name, config):
    height, width = SIZES.get(name, (8, 8))
    text = config.get("encoder_hid_dim") or 12
    given = dict(sample=torch.randn(2, 4, height, width), timestep=torch.tensor([951.0, 37.5]), encoder_hidden_states=torch.randn(2, 5, text))
    if "time_cond_proj_dim" in config:
        given["timestep_cond"] = torch.randn(2, config["time_cond_proj_dim"])
    classes = {
        "class_table": torch.tensor([3, 0]), "class_timestep": torch.tensor([20, 500]), "class_identity": torch.randn(2, 32),
        "class_projection": torch.randn(2, 7), "class_simple_projection": torch.randn(2, 7)}
    if name in classes:
        given["class_labels"] = classes[name]
    return given


@torch.no_grad()
def make(name, config):
    torch.manual_seed(sum(map(ord, name)))
    unet = UNet2DConditionModel(**config).eval()
    for parameter in unet.parameters():
        if parameter.ndim == 1:
            parameter.add_(torch.randn_like(parameter) * 0.1)
    if name == "fourier":
        unet.time_proj.weight.mul_(0.002)  # small angles: float32 has few digits left of the sine of a large one
    folder = f"{HERE}/{name}"
    unet.half().save_pretrained(folder)
    unet.float()
    given = inputs(name, config)
    out = unet(**given).sample
    case = {**given, "out": out}
    save_file({key: value.contiguous() for key, value in case.items()}, f"{folder}/case.safetensors")
    print(name, tuple(out.shape), round(out.std().item(), 3))


if __name__ == "__main__":
    for variant in VARIANTS.items():
        make(*variant)
