"""Writes the averaged weights of a checkpoint as a diffusers folder in float16: the model that x0 has built in."""

import argparse
import json

import torch
from diffusers import DDPMPipeline

from data import CLASSES, NO_CLASS
from train import make_model, make_schedule

# What diffusers' files have no place for.
X0 = {
    "description": "Clothes and shoes of Fashion-MNIST, 28×28 pixels in gray",
    "license": "MIT",
    "attribution": "Trained on Fashion-MNIST, © 2017 Zalando SE, MIT licence, https://github.com/zalandoresearch/fashion-mnist",
    "classes": CLASSES,
    "null_class": NO_CLASS,
    "crop": 2,  # the training pictures were padded by two pixels on each side
    "examples": ["sneaker", "ankle boot", "dress", "bag"],
    "defaults": {"steps": 25, "guidance_scale": 2.0, "sampler": "dpmpp_2m"},
}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--checkpoint", default="run/checkpoint.pt")
    a.add_argument("--out", default="../../weights/fashion")
    a = a.parse_args()
    saved = torch.load(a.checkpoint, map_location="cpu")
    model = make_model()
    model.load_state_dict(saved["ema"])
    DDPMPipeline(unet=model.half(), scheduler=make_schedule()).save_pretrained(a.out)
    with open(f"{a.out}/x0.json", "w") as f:
        json.dump(X0, f, ensure_ascii=False, indent=2)
        f.write("\n")
    print(f"step {saved['step']} -> {a.out}")


if __name__ == "__main__":
    main()
