"""Stage 4: encodes the data set once.

    python latents.py --data DATA --out OUT        # reads OUT/vae, writes OUT/latents.npy: float16 (pictures, variants, 4, 16, 16)

Also writes OUT/latent_rgb.json, the linear map from a latent's four numbers to the mean colour (0..1) of its 4×4 pixels."""

import argparse
import json

import numpy as np
import torch
from diffusers import AutoencoderKL

from data import load
from trainer import device_of
from vae import encode, psnr, to_tensor


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--data", required=True)
    a.add_argument("--out", required=True)
    a = a.parse_args()
    _, pictures = load(a.data)
    vae = AutoencoderKL.from_pretrained(f"{a.out}/vae").to(device_of(), memory_format=torch.channels_last)
    latents = np.empty((*pictures.shape[:2], 4, 16, 16), np.float16)
    for i in range(0, len(pictures), 32):
        x = to_tensor(pictures[i:i + 32].reshape(-1, *pictures.shape[2:])).to(device_of())
        latents[i:i + 32] = (encode(vae, x) * vae.config.scaling_factor).cpu().numpy().reshape(-1, *latents.shape[1:])
    np.save(f"{a.out}/latents.npy", latents)
    rgb = pictures[:, 0].reshape(-1, 16, 4, 16, 4, 3).mean(axis=(2, 4)).reshape(-1, 3) / 255
    rows = latents[:, 0].transpose(0, 2, 3, 1).reshape(-1, 4).astype(np.float64)
    fit = np.linalg.lstsq(np.concatenate([rows, np.ones((len(rows), 1))], 1), rgb, rcond=None)[0]
    with open(f"{a.out}/latent_rgb.json", "w") as f:
        json.dump(dict(matrix=fit[:4].round(5).tolist(), bias=fit[4].round(5).tolist()), f)
    print(f"mean {latents.mean(dtype=np.float64):.4f}, deviation {latents.std(dtype=np.float64):.4f}")
    for name, x in (("plain", pictures[:, 0]), ("varied", pictures[:, 3])):
        print(f"PSNR of all {name} pictures {psnr(vae, to_tensor(x).to(device_of())):.2f} dB")


if __name__ == "__main__":
    main()
