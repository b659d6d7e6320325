"""A small classifier of the rendered pictures by name; its features say which training picture a made one resembles."""

import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from vae import to_tensor

STEPS, BATCH, RATE = 2500, 64, 2e-3


class Classifier(nn.Module):
    def __init__(self, names):
        super().__init__()
        layers, channels = [nn.AvgPool2d(2)], 3
        for width in (32, 64, 128, 192):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
            channels = width
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * channels, 256))
        self.head = nn.Linear(256, names, bias=False)

    def features(self, x):
        """Unit vectors of 256 numbers for (n, 3, 64, 64) in -1..1."""
        return F.normalize(self.body(x), dim=1)

    def forward(self, x):
        return 16 * F.linear(self.features(x), F.normalize(self.head.weight, dim=1))


def train_classifier(pictures, labels, path):
    """Trained on all variants but the last, with noise and small moves; prints how it does on the last."""
    model = Classifier(int(labels.max()) + 1)
    if os.path.exists(path):
        model.load_state_dict(torch.load(path))
        return model.eval()
    torch.manual_seed(0)
    rng, started = np.random.default_rng(0), time.time()
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    for step in range(STEPS):
        pick = rng.integers(0, len(pictures), BATCH)
        x = to_tensor(pictures[pick, rng.integers(0, pictures.shape[1] - 1, BATCH)])
        dx, dy = rng.integers(-3, 4, 2)
        x = x.roll((int(dy), int(dx)), (2, 3)) + float(rng.uniform(0, 0.15)) * torch.randn_like(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(x)
        loss = F.cross_entropy(logits.float(), labels[torch.from_numpy(pick)], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 250 == 249:
            print(f"classifier step {step + 1}: loss {loss.item():.3f}, {time.time() - started:.0f} s", flush=True)
    torch.save(model.state_dict(), path)
    model.eval()
    with torch.no_grad():
        right = torch.cat([model(to_tensor(pictures[i:i + 256, -1])).argmax(1) for i in range(0, len(pictures), 256)]) == labels
    print(f"classifier: {100 * right.float().mean():.1f} % of the variants it has not seen")
    return model
