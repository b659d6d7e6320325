"""The rendered data set and its captions."""

import json
import random

import numpy as np

from concepts import STYLES

SIZE = 64
# How often a concept's pictures are drawn in training. Symbols and people are what few ask for.
GROUP_WEIGHT = {"smileys": 1.0, "people": 0.4, "nature": 1.0, "food": 1.0, "travel": 1.0, "activities": 1.0,
                "objects": 1.0, "symbols": 0.3, "flags": 0.3}
# What newcomers ask for; never held out.
EXAMPLES = ["red apple", "cat face", "rocket", "house", "sunflower", "pizza", "tropical fish", "red heart", "soccer ball", "rainbow", "penguin", "birthday cake"]
PLAIN_VARIANT_SHARE = 0.5  # variant 0 is the upright picture on white; the others are moved, scaled and coloured


def load(root):
    """Returns (records, variants): a list of dicts, one per picture, and uint8 (pictures, variants, 64, 64, 3).

    A record has the concept's name, group, synonyms and keywords, the style, `held_out`, and `backgrounds`: the colour
    word of each variant."""
    with open(f"{root}/records.json") as f:
        records = json.load(f)
    return records, np.load(f"{root}/variants.npy", mmap_mode="r")


def trained(records):
    """Indices of the pictures that may be trained on."""
    return [i for i, r in enumerate(records) if not r["held_out"]]


def weights(records, indices):
    """The chance of each of `indices` to be drawn; sums to one."""
    w = np.array([GROUP_WEIGHT[records[i]["group"]] for i in indices])
    return w / w.sum()


def with_article(name):
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def caption(record, background, rng):
    """A description of the picture, in one of many wordings. `rng` is a random.Random."""
    name, chance = record["name"], rng.random()
    if chance < 0.3 and record["synonyms"]:
        name = rng.choice(record["synonyms"])
    elif chance > 0.85 and record["keywords"]:
        name = f"{name}, {rng.choice(record['keywords'])}"
    if rng.random() < 0.4:
        name = with_article(name)
    if rng.random() < 0.65:
        name = f"{name}, {rng.choice(STYLES[record['style']][1])}"
    if rng.random() < (0.05 if background == "white" else 0.9):
        name = f"{name}{',' if rng.random() < 0.5 else ''} on {with_article(background)} background"
    return name


def draw(records, indices, chances, variants, count, seed):
    """A batch: (picture indices, variant indices, captions), the same for the same `seed`."""
    np_rng, rng = np.random.default_rng(seed), random.Random(seed)
    pictures = np_rng.choice(indices, count, p=chances)
    picks = np.where(np_rng.random(count) < PLAIN_VARIANT_SHARE, 0, np_rng.integers(0, variants, count))
    captions = [caption(records[i], records[i]["backgrounds"][v], rng) for i, v in zip(pictures, picks)]
    return pictures, picks, captions
