"""Measures what the trained model makes: prints a table and writes `quality.json` and a grid of all classes.

- accuracy: the share of generated pictures (the same number of each class) that a classifier trained on the real training
  set takes for the class that was asked for;
- Fréchet distance between the classifier's features (its last hidden layer) of generated pictures and of the real test set,
  beside the same figure for as many real training pictures, which is the floor."""

import argparse
import json
import os

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, UNet2DModel
from scipy.linalg import sqrtm

from data import CLASSES, NO_CLASS, load

HERE = os.path.dirname(os.path.abspath(__file__))


class Classifier(torch.nn.Module):
    """Three convolutions and a hidden layer of 128 features."""

    def __init__(self):
        super().__init__()
        block = lambda i, o: [torch.nn.Conv2d(i, o, 3, padding=1), torch.nn.BatchNorm2d(o), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
        self.body = torch.nn.Sequential(*block(1, 32), *block(32, 64), *block(64, 128), torch.nn.Flatten(), torch.nn.Dropout(0.3),
                                        torch.nn.Linear(128 * 16, 128), torch.nn.ReLU())
        self.head = torch.nn.Linear(128, len(CLASSES))

    def forward(self, x):
        return self.head(self.body(x))


def classifier(path, epochs):
    """The classifier, trained on the real training set, and its accuracy on the real test set."""
    torch.manual_seed(1)
    net = Classifier()
    if os.path.exists(path):
        net.load_state_dict(torch.load(path))
    else:
        images, labels = load("train")
        steps, batch = epochs * len(images) // 128, 128
        optimizer = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
        for _ in range(steps):
            pick = torch.randint(0, len(images), (batch,))
            x = images[pick]
            x = torch.where(torch.rand(batch, 1, 1, 1) < 0.5, x.flip(-1), x)
            loss = torch.nn.functional.cross_entropy(net(x), labels[pick], label_smoothing=0.05)
            optimizer.zero_grad(), loss.backward(), optimizer.step(), schedule.step()
        torch.save(net.state_dict(), path)
    net.eval()
    images, labels = load("t10k")
    with torch.no_grad():
        right = torch.cat([net(x).argmax(1) for x in images.split(500)]) == labels
    return net, right.float().mean().item()


@torch.no_grad()
def features(net, images):
    return torch.cat([net.body(x) for x in images.split(500)]).double().numpy()


def frechet(a, b):
    """Heusel et al. 2017: the distance between two Gaussians with the features' means and covariances."""
    difference = a.mean(0) - b.mean(0)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    return float(difference @ difference + np.trace(first + second - 2 * sqrtm(first @ second).real))


@torch.no_grad()
def generate(unet, config, labels, guidance, steps, seed, batch=100, bfloat16=True):
    """Pictures by DPM-Solver++(2M), one for each label, clamped to -1..1."""
    schedule = DPMSolverMultistepScheduler.from_config(config, algorithm_type="dpmsolver++", solver_order=2)
    generator = torch.Generator().manual_seed(seed)
    pictures = []
    for part in labels.split(batch):
        schedule.set_timesteps(steps)
        z = torch.randn(len(part), 1, 32, 32, generator=generator)
        both = torch.cat([torch.full_like(part, NO_CLASS), part])
        for t in schedule.timesteps:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
                out = unet(torch.cat([z, z]).contiguous(memory_format=torch.channels_last), t, class_labels=both).sample.float()
            without, with_class = out.chunk(2)
            z = schedule.step(without + guidance * (with_class - without), t, z).prev_sample
        pictures.append(z.clamp(-1, 1))
    return torch.cat(pictures)


@torch.no_grad()
def accuracy(net, pictures, labels):
    right = torch.cat([net(x).argmax(1) for x in pictures.split(500)]) == labels
    by_class = {name: round(right[labels == i].float().mean().item(), 3) for i, name in enumerate(CLASSES)}
    return {"accuracy": right.float().mean().item(), "by_class": by_class}


def save_grid(pictures, path, columns):
    from PIL import Image
    rows = pictures[:, 0, 2:-2, 2:-2].reshape(-1, columns, 28, 28)
    grid = rows.permute(0, 2, 1, 3).reshape(-1, columns * 28)
    Image.fromarray(((grid + 1) * 127.5).round().byte().numpy()).save(path)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--model", default=f"{HERE}/../../weights/fashion", help="diffusers folder, or a checkpoint.pt of train.py")
    a.add_argument("--work", default="run")
    a.add_argument("--guidance", type=float, nargs="+", default=[1.0, 1.5, 2.0, 3.0])
    a.add_argument("--steps", type=int, default=25)
    a.add_argument("--accuracy-images", type=int, default=1000)
    a.add_argument("--frechet-images", type=int, default=0, help="pictures for the Fréchet distance at the first guidance (10,000 for the published figure)")
    a.add_argument("--epochs", type=int, default=8, help="of the classifier")
    a.add_argument("--float32", action="store_true")
    a = a.parse_args()
    os.makedirs(a.work, exist_ok=True)

    if a.model.endswith(".pt"):
        from train import make_model, make_schedule
        unet, config = make_model(), make_schedule().config
        unet.load_state_dict(torch.load(a.model)["ema"])
    else:
        unet = UNet2DModel.from_pretrained(f"{a.model}/unet", torch_dtype=torch.float32)
        config = DPMSolverMultistepScheduler.load_config(f"{a.model}/scheduler")
    unet = unet.eval().to(memory_format=torch.channels_last)
    net, on_test_set = classifier(f"{a.work}/classifier.pt", a.epochs)
    report = {"steps": a.steps, "classifier_accuracy_on_the_real_test_set": on_test_set, "guidance": {}}
    print(f"classifier on the real test set: {on_test_set:.4f}", flush=True)
    labels = torch.arange(a.accuracy_images) % len(CLASSES)
    for guidance in a.guidance:
        pictures = generate(unet, config, labels, guidance, a.steps, seed=11, bfloat16=not a.float32)
        report["guidance"][guidance] = accuracy(net, pictures, labels)
        print(f"guidance {guidance}: {report['guidance'][guidance]}", flush=True)
        save_grid(pictures[:100], f"{a.work}/grid-{guidance}.png", 10)
    if a.frechet_images:
        real, train = features(net, load("t10k")[0]), load("train")[0]
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(3))
        made = np.zeros((0, real.shape[1]))
        # In parts, so that a run that is cut short has figures for as many pictures as it made.
        while len(made) < a.frechet_images:
            part = torch.arange(500) % len(CLASSES)
            pictures = generate(unet, config, part, a.guidance[0], a.steps, seed=12 + len(made), bfloat16=not a.float32)
            made = np.concatenate([made, features(net, pictures)])
            report["frechet"] = {
                "images": len(made), "guidance": a.guidance[0], "generated": frechet(made, real),
                "real_training_images": frechet(features(net, train[order[: len(made)]]), real)}
            print(report["frechet"], flush=True)
    with open(f"{a.work}/quality.json", "w") as f:
        json.dump(report, f, indent=1)


if __name__ == "__main__":
    main()
