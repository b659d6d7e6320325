"""Stage 3: trains the autoencoder, 64×64 RGB to 16×16 latents of 4 channels. Resumable: run the same command again.

    python vae.py --data DATA --out OUT        # OUT/vae.pt while training, then OUT/vae in diffusers' layout

The loss is the absolute error of the colours and of their differences between neighbours (at two sizes), with a slight
pull of the latents towards the standard normal: enough that small errors in a latent make small errors in the picture."""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

import trainer
from data import load, trained

CHANNELS = (16, 32, 64)
EDGE_WEIGHT = 0.5
KL_WEIGHT = 1e-3
CHECK = 256  # pictures by which the reconstruction is measured


def make_vae():
    blocks = len(CHANNELS)
    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=CHANNELS, layers_per_block=1, norm_num_groups=8, sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * blocks, up_block_types=("UpDecoderBlock2D",) * blocks, scaling_factor=1.0, force_upcast=False)


def to_tensor(pictures):
    """uint8 (n, 64, 64, 3) to float32 (n, 3, 64, 64) in -1..1, channels last."""
    x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return x.contiguous(memory_format=torch.channels_last)


def edges(x, y):
    """Mean absolute difference of the horizontal and vertical gradients of x and y."""
    d = x - y
    return (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()


def reconstruction_loss(out, x):
    return (out - x).abs().mean() + EDGE_WEIGHT * (edges(out, x) + edges(F.avg_pool2d(out, 2), F.avg_pool2d(x, 2)))


@torch.no_grad()
def encode(vae, x):
    return torch.cat([vae.encode(b).latent_dist.mean for b in x.split(64)])


@torch.no_grad()
def psnr(vae, x):
    """Mean over the pictures, in dB of the range 0..1, decoded from the mean latents."""
    out = torch.cat([vae.decode(b).sample for b in encode(vae, x).split(64)]).clamp(-1, 1)
    error = ((out - x) / 2).square().mean(dim=(1, 2, 3))
    return (-10 * error.log10()).mean().item()


@torch.no_grad()
def standardise(vae, latents):
    """Moves the mean and deviation of each latent channel into the 1×1 convolutions at the bottleneck, so that the
    latents have mean 0 and deviation 1 (hence scaling_factor 1) and the pictures stay the same."""
    mean, deviation = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    inward, outward = vae.quant_conv, vae.post_quant_conv  # (means and log variances), (means)
    inward.weight[:4] /= deviation[:, None, None, None]
    inward.bias[:4] = (inward.bias[:4] - mean) / deviation
    inward.bias[4:] -= 2 * deviation.log()
    outward.bias += (outward.weight[:, :, 0, 0] * mean).sum(dim=1)
    outward.weight *= deviation[None, :, None, None]


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--data", required=True)
    a.add_argument("--out", required=True)
    trainer.add_arguments(a, steps=6000, cooldown=1000, batch=16, rate=1e-3)
    a = a.parse_args()
    device = trainer.device_of()
    records, pictures = load(a.data)
    indices = np.array(trained(records))
    rng = np.random.default_rng(1)
    check = to_tensor(pictures[np.sort(rng.choice(indices, CHECK, replace=False))][np.arange(CHECK), rng.integers(0, pictures.shape[1], CHECK)]).to(device)
    torch.manual_seed(0)
    vae = make_vae()

    def loss_of(step, rank, ranks):
        rng = np.random.default_rng([2, step, rank])  # a resumed run sees the batches it would have seen
        count = a.batch // ranks
        x = to_tensor(pictures[rng.choice(indices, count), rng.integers(0, pictures.shape[1], count)]).to(device)
        torch.manual_seed(step * ranks + rank)
        latents = vae.encode(x).latent_dist
        out = vae.decode(latents.sample().contiguous(memory_format=torch.channels_last)).sample
        mean, logvar = latents.mean.float(), latents.logvar.float()
        divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        return reconstruction_loss(out.float(), x) + KL_WEIGHT * divergence

    ema = trainer.train(vae, loss_of, a, f"{a.out}/vae.pt", saved=lambda ema, step: print(f"step {step}: PSNR {psnr(ema, check):.2f} dB", flush=True))
    latents = encode(ema, check)
    print(f"PSNR {psnr(ema, check):.2f} dB, latents' deviation {latents.std():.4f}")
    standardise(ema, latents)
    print(f"PSNR {psnr(ema, check):.2f} dB after standardising")
    ema.save_pretrained(f"{a.out}/vae")


if __name__ == "__main__":
    main()
