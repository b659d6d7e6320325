"""Trains the embedded class-conditional model `fashion`. Resumable: run the same command again and it goes on.

The learning rate warms up, stays, and falls linearly to zero over the last quarter of `--steps`. Until that last
quarter has begun, `--steps` may be changed between sittings."""

import argparse
import copy
import csv
import json
import os
import time

import torch
from diffusers import DDPMScheduler, UNet2DModel

from data import NO_CLASS, load

CHANNELS = (32, 64, 128, 128)
WARMUP_STEPS = 250


def make_model():
    """A UNet of 4.3 M parameters; attention on the 8×8 maps alone, where it is cheap."""
    down = ["AttnDownBlock2D" if i == 2 else "DownBlock2D" for i in range(4)]
    return UNet2DModel(
        sample_size=32, in_channels=1, out_channels=1, layers_per_block=1, block_out_channels=CHANNELS,
        norm_num_groups=8, num_class_embeds=NO_CLASS + 1, attention_head_dim=32,
        down_block_types=tuple(down), up_block_types=tuple(b.replace("Down", "Up") for b in reversed(down)))


def make_schedule():
    # Predictions are not clipped: guidance takes them out of -1..1, and DDIM does not correct its noise for what was cut off;
    # its pictures drift to a wrong garment.
    return DDPMScheduler(num_train_timesteps=1000, beta_start=0.0001, beta_end=0.02, beta_schedule="linear",
                         prediction_type="v_prediction", clip_sample=False, timestep_spacing="trailing")


def learning_rate(step, steps, peak):
    cooldown = steps // 4
    return peak * min(1.0, (step + 1) / WARMUP_STEPS, (steps - step) / cooldown)


def loss_weight(alpha):
    """The weight of the v-prediction's squared error: in terms of x₀, the signal-to-noise ratio clamped to 1..5.

    The upper bound is min-SNR's (Hang et al. 2023). The lower one is that of Salimans and Ho 2022: without it the noisiest
    steps, in which such small pictures get their shape, hardly count, and the classes come out as the wrong garments."""
    snr = alpha / (1 - alpha)
    return snr.clamp(1.0, 5.0) / (snr + 1)


def ema_decay(step):
    """Follows closely at first, then averages over the last thousand steps or so."""
    return min(0.999, (1 + step) / (10 + step))


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--out", default="run", help="folder for checkpoints and the loss table")
    a.add_argument("--steps", type=int, default=9000)
    a.add_argument("--batch", type=int, default=64)
    a.add_argument("--rate", type=float, default=1e-3)
    a.add_argument("--label-dropout", type=float, default=0.12)
    a.add_argument("--seed", type=int, default=0)
    a.add_argument("--init", help="a checkpoint whose weights to begin with, when --out has none")
    a.add_argument("--float32", action="store_true", help="no bfloat16 autocast (for processors without AVX-512 BF16)")
    a = a.parse_args()
    os.makedirs(a.out, exist_ok=True)

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(a.seed)
    images, labels = load("train")
    model = make_model().to(device, memory_format=torch.channels_last)
    ema = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), a.rate, weight_decay=0.01)
    alphas = make_schedule().alphas_cumprod.to(device)
    step, losses = 0, []
    checkpoint = f"{a.out}/checkpoint.pt"
    if os.path.exists(checkpoint):
        saved = torch.load(checkpoint, map_location=device)
        model.load_state_dict(saved["model"]), ema.load_state_dict(saved["ema"]), optimizer.load_state_dict(saved["optimizer"])
        step, losses = saved["step"], saved["losses"]
        print(f"going on from step {step}", flush=True)
    elif a.init:
        weights = torch.load(a.init, map_location=device)["model"]
        model.load_state_dict(weights), ema.load_state_dict(weights)

    def save():
        torch.save(dict(model=model.state_dict(), ema=ema.state_dict(), optimizer=optimizer.state_dict(), step=step, losses=losses), checkpoint + ".new")
        os.replace(checkpoint + ".new", checkpoint)
        with open(f"{a.out}/loss.csv", "w", newline="") as f:
            csv.writer(f).writerows([("step", "loss", "seconds")] + losses)

    started, running = time.time(), None
    while step < a.steps:
        g = torch.Generator().manual_seed(a.seed * 1_000_003 + step)  # a resumed run sees the batches it would have seen
        pick = torch.randint(0, len(images), (a.batch,), generator=g)
        x0, label = images[pick], labels[pick]
        flip = torch.rand(a.batch, generator=g) < 0.5
        x0 = torch.where(flip[:, None, None, None], x0.flip(-1), x0)
        label = torch.where(torch.rand(a.batch, generator=g) < a.label_dropout, NO_CLASS, label)
        t = torch.randint(0, len(alphas), (a.batch,), generator=g)
        noise = torch.randn(x0.shape, generator=g)
        x0, label, t, noise = (v.to(device) for v in (x0, label, t, noise))

        alpha = alphas[t][:, None, None, None]
        noisy = alpha.sqrt() * x0 + (1 - alpha).sqrt() * noise
        target = alpha.sqrt() * noise - (1 - alpha).sqrt() * x0
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, a.steps, a.rate)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=not a.float32):
            out = model(noisy.contiguous(memory_format=torch.channels_last), t, class_labels=label).sample
        loss = (loss_weight(alphas[t]) * (out.float() - target).square().mean(dim=(1, 2, 3))).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            for e, p in zip(ema.parameters(), model.parameters()):
                e.lerp_(p, 1 - ema_decay(step))
        step += 1
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        if step % 20 == 0:
            losses.append((step, round(running, 6), round(time.time() - started, 1)))
            print(json.dumps(dict(step=step, loss=round(running, 5), seconds=losses[-1][2])), flush=True)
        if step % 200 == 0 or step == a.steps:
            save()


if __name__ == "__main__":
    main()
