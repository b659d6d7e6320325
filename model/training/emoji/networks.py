"""The two networks that are trained together, and the noise schedule."""

from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

WIDTH = 192  # of the text encoder


def make_text_encoder(tokenizer):
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length, hidden_act="quick_gelu", projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))


def make_unet():
    """Most of the work is done on 8×8 maps, where the text enters; on 16×16 there are convolutions alone."""
    return UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(64, 128, 144), norm_num_groups=16,
        cross_attention_dim=WIDTH, attention_head_dim=(2, 4, 6), use_linear_projection=True,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"))


def make_schedule():
    """Noisier at the end than Stable Diffusion's (signal 0.016 of 1, theirs 0.068), so that a background colour is the
    text's to say and not to be guessed from the mean of the starting noise."""
    return DDIMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.02, beta_schedule="scaled_linear", prediction_type="v_prediction",
        clip_sample=False, set_alpha_to_one=False, steps_offset=1, timestep_spacing="trailing")


class Networks(nn.Module):
    """Text encoder and UNet as one module, for the optimisers, the moving average and the checkpoint."""

    def __init__(self, tokenizer):
        super().__init__()
        self.text_encoder, self.unet = make_text_encoder(tokenizer), make_unet()
        # Plain products and softmax: for 64 tokens torch's fused attention takes a quarter longer for the whole step on a CPU.
        self.text_encoder.set_attn_implementation("eager")
        self.unet.set_attn_processor(AttnProcessor())

    def load_weights(self, path):
        """Takes the weights of an exported pipeline (see export.py)."""
        self.text_encoder.load_state_dict(load_file(f"{path}/text_encoder/model.safetensors"))
        self.unet.load_state_dict(load_file(f"{path}/unet/diffusion_pytorch_model.safetensors"))

    def forward(self, latents, timesteps, ids):
        return self.unet(latents, timesteps, encoder_hidden_states=self.text_encoder(ids).last_hidden_state).sample
