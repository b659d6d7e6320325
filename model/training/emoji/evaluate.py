"""Stage 7: measures an exported model and draws its pictures.

    python evaluate.py --data DATA --out OUT --model DIR        # writes OUT/evaluation.json, grid.png, preview.png

For 200 names, and for the 50 (name, style) pairs that were never trained on: of which name is the training picture nearest
to the made one, by a small classifier's features?"""

import argparse
import json
import time

import numpy as np
import torch

from classifier import train_classifier
from concepts import STYLES
from data import load, trained, weights, with_article
from sample import PROMPTS, grid, load_pipeline, sample
from vae import psnr, to_tensor

NAMES = 200
GUIDANCE = (1.0, 3.0, 5.0, 7.0)
PREVIEW_STEPS = (1, 3, 6, 10, 20)


def agreement(features, of_training, names_of_training, wanted):
    """Shares of the pictures whose wanted name is the nearest training picture's (top-1) and among the five nearest names."""
    first = fifth = 0
    for similarities, name in zip(features @ of_training.T, wanted):
        nearest = []
        for i in similarities.argsort(descending=True).tolist():
            if names_of_training[i] not in nearest:
                nearest.append(names_of_training[i])
            if len(nearest) == 5:
                break
        first += nearest[0] == name
        fifth += name in nearest
    return first / len(wanted), fifth / len(wanted)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--data", required=True)
    a.add_argument("--out", required=True)
    a.add_argument("--model", required=True)
    a.add_argument("--steps", type=int, default=20)
    a.add_argument("--sampler", default="dpmpp_2m")
    a = a.parse_args()
    records, pictures = load(a.data)
    indices = trained(records)
    pipeline = load_pipeline(a.model)
    names = sorted({r["name"] for r in records})
    labels = torch.tensor([names.index(r["name"]) for r in records])
    classifier = train_classifier(pictures, labels, f"{a.out}/classifier.pt")

    @torch.no_grad()
    def features(x):
        return torch.cat([classifier.features(b) for b in x.split(128)])

    reference = features(to_tensor(pictures[indices, 0]))
    reference_names = [records[i]["name"] for i in indices]
    rng = np.random.default_rng(7)
    of_name = {}
    for i, w in zip(indices, weights(records, indices)):
        of_name[records[i]["name"]] = of_name.get(records[i]["name"], 0) + w
    chosen = rng.choice(list(of_name), NAMES, replace=False, p=np.array(list(of_name.values())) / sum(of_name.values())).tolist()
    held_out = [r for r in records if r["held_out"]]
    held_names = [r["name"] for r in held_out]
    held_prompts = [f"{with_article(r['name'])}, {STYLES[r['style']][1][0]}" for r in held_out]

    result = dict(steps=a.steps, sampler=a.sampler, vae_psnr=round(psnr(pipeline.vae, to_tensor(pictures[::5, 0])), 2), agreement={})
    real = features(to_tensor(pictures[[i for i, r in enumerate(records) if r["held_out"]], 0]))
    result["ceiling_held_out"] = agreement(real, reference, reference_names, held_names)
    for guidance in GUIDANCE:
        row = {}
        for key, prompts, wanted in (("names", [with_article(n) for n in chosen], chosen), ("held_out", held_prompts, held_names)):
            made = sample(pipeline, prompts, list(range(len(prompts))), guidance, a.steps, a.sampler)
            row[key] = agreement(features(made * 2 - 1), reference, reference_names, wanted)
        result["agreement"][guidance] = row
        print(guidance, row, flush=True)
    with open(f"{a.model}/x0.json") as f:
        defaults = json.load(f)["defaults"]
    seconds = []
    for seed in range(4):
        started = time.time()
        sample(pipeline, ["a red apple"], [seed], defaults["guidance_scale"], defaults["steps"], defaults["sampler"])
        seconds.append(round(time.time() - started, 2))
    result["seconds_per_picture"] = dict(best=min(seconds), median=sorted(seconds)[2], threads=torch.get_num_threads())
    with open(f"{a.out}/evaluation.json", "w") as f:
        json.dump(result, f, indent=1)
    print(json.dumps(result, indent=1))

    grid(sample(pipeline, PROMPTS, list(range(len(PROMPTS))), defaults["guidance_scale"], defaults["steps"], defaults["sampler"]), 8, f"{a.out}/grid.png")
    strip = sample(pipeline, ["a red apple"], [0], defaults["guidance_scale"], defaults["steps"], defaults["sampler"], previews=True)
    grid(torch.cat([strip[s - 1] for s in PREVIEW_STEPS]), len(PREVIEW_STEPS), f"{a.out}/preview.png")


if __name__ == "__main__":
    main()
