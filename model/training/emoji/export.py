"""Stage 6: writes the trained model as a StableDiffusionPipeline in diffusers' layout, float16.

    python export.py --out OUT --to DIR        # reads OUT/tokenizer, OUT/vae and the moving average in OUT/model.pt"""

import argparse
import json
import os
import shutil

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from transformers import CLIPTokenizer

from networks import Networks, make_schedule

# Chosen by evaluate.py's figures.
DEFAULTS = {"steps": 20, "guidance_scale": 4.0, "sampler": "dpmpp_2m"}
DESCRIPTION = {
    "description": "Emoji, 64×64 pixels: a name, a style (noto, twemoji, flat, 3d), a background colour",
    "license": "Apache-2.0 AND CC-BY-4.0 AND MIT",
    "attribution": "Trained on Noto Emoji (Google, Apache-2.0), Twemoji (Twitter and contributors, CC-BY 4.0), Fluent Emoji (Microsoft, MIT) and names from emojibase (Miles Johnson, MIT); see ATTRIBUTION.md"}
# What the server offers to try.
EXAMPLES = ["a red apple", "a house", "a rainbow", "a grinning face", "a red car", "a mushroom, flat style",
            "a red heart on a yellow background", "a rocket on a blue background"]
LIMIT = 18_000_000  # bytes of weights


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--out", required=True)
    a.add_argument("--to", required=True)
    a = a.parse_args()
    saved = torch.load(f"{a.out}/model.pt", map_location="cpu")
    tokenizer = CLIPTokenizer.from_pretrained(f"{a.out}/tokenizer")
    networks = Networks(tokenizer)
    networks.load_state_dict(saved["ema"])
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(f"{a.out}/vae"), text_encoder=networks.text_encoder, tokenizer=tokenizer, unet=networks.unet,
        scheduler=make_schedule(), safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    shutil.rmtree(a.to, ignore_errors=True)
    pipeline.to(torch.float16).save_pretrained(a.to)
    for name in os.listdir(f"{a.out}/tokenizer"):  # CLIP's own files, whatever form this transformers writes
        shutil.copy(f"{a.out}/tokenizer/{name}", f"{a.to}/tokenizer/{name}")
    if os.path.exists(f"{a.to}/tokenizer/tokenizer.json"):
        os.remove(f"{a.to}/tokenizer/tokenizer.json")
    with open(f"{a.to}/vae/config.json") as f:
        config = json.load(f)
    config.pop("_name_or_path", None)  # a folder of this machine
    with open(f"{a.to}/vae/config.json", "w") as f:
        json.dump(config, f, indent=2)
    with open(f"{a.to}/x0.json", "w") as f:
        json.dump(dict(DESCRIPTION, examples=EXAMPLES, defaults=DEFAULTS), f, indent=2, ensure_ascii=False)
    shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "ATTRIBUTION.md"), f"{a.to}/ATTRIBUTION.md")
    size = sum(os.path.getsize(os.path.join(d, n)) for d, _, names in os.walk(a.to) for n in names if n.endswith(".safetensors"))
    print(f"step {saved['step']}, {size / 1e6:.2f} MB of weights")
    assert size <= LIMIT


if __name__ == "__main__":
    main()
