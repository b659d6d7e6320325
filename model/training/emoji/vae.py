"""Stage 3: trains the autoencoder, 64×64 RGB to 16×16 latents of 4 channels. Resumable: run the same command again.

    python vae.py --data DATA --out OUT        # OUT/vae.pt while training, then OUT/vae in diffusers' layout

The loss is the absolute error of the colours and of their differences between neighbours (at two sizes), with a slight
pull of the latents towards the standard normal: enough that small errors in a latent make small errors in the picture."""

import argparse
import json
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from data import load, trained
from schedule import ema_decay, learning_rate

CHANNELS = (32, 64, 96)
EDGE_WEIGHT = 0.5
KL_WEIGHT = 1e-3
CHECK = 256  # pictures by which the reconstruction is measured


def make_vae():
    blocks = len(CHANNELS)
    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=CHANNELS, layers_per_block=1, norm_num_groups=8, sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * blocks, up_block_types=("UpDecoderBlock2D",) * blocks, force_upcast=False)


def to_tensor(pictures):
    """uint8 (n, 64, 64, 3) to float32 (n, 3, 64, 64) in -1..1, channels last."""
    x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return x.contiguous(memory_format=torch.channels_last)


def edges(x, y):
    """Mean absolute difference of the horizontal and vertical gradients of x and y."""
    d = x - y
    return (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()


def loss_of(out, x):
    return (out - x).abs().mean() + EDGE_WEIGHT * (edges(out, x) + edges(F.avg_pool2d(out, 2), F.avg_pool2d(x, 2)))


@torch.no_grad()
def psnr(vae, x):
    """Mean over the pictures, in dB of the range 0..1, decoded from the mean latents; and their mean and deviation."""
    latents = torch.cat([vae.encode(b).latent_dist.mean for b in x.split(64)])
    out = torch.cat([vae.decode(b).sample for b in latents.split(64)]).clamp(-1, 1)
    error = ((out - x) / 2).square().mean(dim=(1, 2, 3))
    return (-10 * error.log10()).mean().item(), latents.mean(dim=(0, 2, 3)), latents.std().item()


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--data", required=True)
    a.add_argument("--out", required=True)
    a.add_argument("--steps", type=int, default=6000)
    a.add_argument("--batch", type=int, default=16)
    a.add_argument("--rate", type=float, default=2e-3)
    a.add_argument("--stop", type=int, help="stop this sitting after so many steps in all")
    a.add_argument("--float32", action="store_true", help="no bfloat16 autocast (for processors without AVX-512 BF16)")
    a = a.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    records, pictures = load(a.data)
    indices = np.array(trained(records))
    torch.manual_seed(0)
    vae = make_vae().to(device, memory_format=torch.channels_last)
    ema = make_vae().to(device, memory_format=torch.channels_last).requires_grad_(False)
    ema.load_state_dict(vae.state_dict())
    optimizer = torch.optim.AdamW(vae.parameters(), a.rate, betas=(0.9, 0.99), weight_decay=0.01)
    rng = np.random.default_rng(1)
    check = to_tensor(pictures[np.sort(rng.choice(indices, CHECK, replace=False)), rng.integers(0, pictures.shape[1])]).to(device)
    step, checkpoint = 0, f"{a.out}/vae.pt"
    if os.path.exists(checkpoint):
        saved = torch.load(checkpoint, map_location=device)
        vae.load_state_dict(saved["vae"]), ema.load_state_dict(saved["ema"]), optimizer.load_state_dict(saved["optimizer"])
        step = saved["step"]
        print(f"going on from step {step}", flush=True)

    started, running = time.time(), math.nan
    last = a.steps if a.stop is None else min(a.stop, a.steps)
    while step < last:
        rng = np.random.default_rng([2, step])  # a resumed run sees the batches it would have seen
        x = to_tensor(pictures[rng.choice(indices, a.batch), rng.integers(0, pictures.shape[1], a.batch)]).to(device)
        torch.manual_seed(step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, a.steps, a.rate)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=not a.float32):
            latents = vae.encode(x).latent_dist
            out = vae.decode(latents.sample().contiguous(memory_format=torch.channels_last)).sample
        mean, logvar = latents.mean.float(), latents.logvar.float()
        divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        loss = loss_of(out.float(), x) + KL_WEIGHT * divergence
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            for e, p in zip(ema.parameters(), vae.parameters()):
                e.lerp_(p, 1 - ema_decay(step))
        step += 1
        running = loss.item() if math.isnan(running) else 0.98 * running + 0.02 * loss.item()
        if step % 100 == 0 or step == last:
            print(json.dumps(dict(step=step, loss=round(running, 5), kl=round(divergence.item(), 3), seconds=round(time.time() - started, 1))), flush=True)
        if step % 500 == 0 or step == last:
            torch.save(dict(vae=vae.state_dict(), ema=ema.state_dict(), optimizer=optimizer.state_dict(), step=step), checkpoint + ".new")
            os.replace(checkpoint + ".new", checkpoint)
            print(json.dumps(dict(step=step, psnr=round(psnr(ema, check)[0], 2))), flush=True)

    quality, mean, deviation = psnr(ema, check)
    ema.register_to_config(scaling_factor=round(1 / deviation, 5))
    ema.save_pretrained(f"{a.out}/vae")
    print(f"PSNR {quality:.2f} dB, scaling factor {1 / deviation:.5f}, mean of the channels {[round(m, 3) for m in mean.tolist()]}")


if __name__ == "__main__":
    main()
