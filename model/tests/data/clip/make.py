"""What transformers 5.23.0 computes with the text encoders of the test models in `sd15` and `sdxl`, beyond what is in their cases.

    python make.py        # writes outputs.safetensors beside itself

`sd15.hidden.K`: the state K layers before the last, normalised as Stable Diffusion takes it with clip_skip K.
`sdxl.hidden.K`: the same of the second encoder, not normalised; `sdxl.pooled`: its projected end token, and
`sdxl.pooled_legacy`: the same with eos_token_id 2, which stands for the highest id.
(`cases.json` was made from transformers' CLIPTokenizer with OpenAI's vocabulary.)"""

import os

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))


def ids(name):
    with safe_open(f"{HERE}/../{name}/cases.safetensors", "pt") as cases:
        return cases.get_tensor("tokens.ids")


with torch.no_grad():
    first = CLIPTextModel.from_pretrained(f"{HERE}/../sd15/model/text_encoder", dtype=torch.float32).eval()
    states = first(ids("sd15"), output_hidden_states=True).hidden_states
    norm = getattr(first, "text_model", first).final_layer_norm
    out = {f"sd15.hidden.{k}": norm(states[-1 - k]) for k in (1, 3)}

    second = CLIPTextModelWithProjection.from_pretrained(f"{HERE}/../sdxl/model/text_encoder_2", dtype=torch.float32).eval()
    result = second(ids("sdxl"), output_hidden_states=True)
    out |= {f"sdxl.hidden.{k}": result.hidden_states[-1 - k] for k in (1, 2)}
    out["sdxl.pooled"] = result.text_embeds
    second.text_model.eos_token_id = 2
    # Ids in another order, so that the end token has not the highest one.
    scrambled = (ids("sdxl") * 7 + 3) % 1714
    out["sdxl.scrambled_ids"] = scrambled
    out["sdxl.pooled_legacy"] = second(scrambled).text_embeds
    save_file({key: value.contiguous() for key, value in out.items()}, f"{HERE}/outputs.safetensors")
    print({key: tuple(value.shape) for key, value in out.items()})
