"""Stage 5: trains the text encoder and the UNet together. Resumable: run the same command again.

    python train.py --data DATA --out OUT        # reads OUT/tokenizer and OUT/latents.npy, writes OUT/model.pt

To go on from an exported model without its checkpoint, give `--weights DIR`: the networks begin with its weights, the optimisers anew.
To end a training early, give `--steps` the present step plus `--cooldown`. To extend one that has ended, copy
OUT/plateau.model.pt (written when the cool-down began) over OUT/model.pt and run again with more `--steps`."""

import argparse
import os
import random

import numpy as np
import torch
from transformers import CLIPTokenizer

import trainer
from data import draw, load, trained, weights
from networks import Networks, make_schedule

MIN_SNR_GAMMA = 5.0


def weight_of(alpha):
    """Weight of the squared error of v at signal share `alpha`: Min-SNR-γ (Hang et al. 2023) for SNR + 1, which leaves
    the noisy end, where the text decides what there is to see, at the full weight of 1."""
    return (MIN_SNR_GAMMA * (1 - alpha)).clamp(max=1)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--data", required=True)
    a.add_argument("--out", required=True)
    a.add_argument("--weights", help="an exported model to begin with, where there is no checkpoint")
    a.add_argument("--caption-dropout", type=float, default=0.12)
    trainer.add_arguments(a, steps=12000, cooldown=2500, batch=64, rate=1e-3)
    a = a.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    device = trainer.device_of()
    records, _ = load(a.data)
    indices = np.array(trained(records))
    chances = weights(records, indices)
    latents = torch.from_numpy(np.load(f"{a.out}/latents.npy"))
    tokenizer = CLIPTokenizer.from_pretrained(f"{a.out}/tokenizer")
    alphas = make_schedule().alphas_cumprod
    torch.manual_seed(0)
    networks = Networks(tokenizer)
    if a.weights:
        networks.load_weights(a.weights)
    print(f"{sum(p.numel() for p in networks.parameters()) / 1e6:.2f} M parameters", flush=True)

    def loss_of(step, rank, ranks):
        seed = step * ranks + rank  # a resumed run sees the batches it would have seen
        count = a.batch // ranks
        pictures, variants, captions = draw(records, indices, chances, latents.shape[1], count, seed)
        rng, g = random.Random(seed), torch.Generator().manual_seed(seed)
        captions = ["" if rng.random() < a.caption_dropout else c for c in captions]
        ids = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        x0 = latents[torch.from_numpy(pictures), torch.from_numpy(variants)].float()
        offset = torch.rand(1, generator=g)
        t = ((torch.arange(count) + offset) / count * len(alphas)).long()  # spread evenly: a steadier gradient
        noise = torch.randn(x0.shape, generator=g)
        alpha = alphas[t][:, None, None, None]
        noisy = alpha.sqrt() * x0 + (1 - alpha).sqrt() * noise
        target = alpha.sqrt() * noise - (1 - alpha).sqrt() * x0
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        noisy, target, t, ids, weight = (v.to(device) for v in (noisy, target, t, ids, weight_of(alphas[t])))
        out = networks(noisy, t, ids)
        return (weight * (out.float() - target).square().mean(dim=(1, 2, 3))).mean()

    trainer.train(networks, loss_of, a, f"{a.out}/model.pt")


if __name__ == "__main__":
    main()
