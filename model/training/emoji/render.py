"""Stage 1: draws the emoji of four icon sets from their SVG, each on several backgrounds.

    npm install --prefix NPM @iconify-json/noto@1.2.9 @iconify-json/twemoji@1.2.5 \\
        @iconify-json/fluent-emoji@1.2.7 @iconify-json/fluent-emoji-flat@1.2.6 emojibase-data@17.0.0
    python render.py --npm NPM --out DATA"""

import argparse
import io
import json
import os
import random
from collections import Counter

import numpy as np
import resvg_py
from PIL import Image

from concepts import STYLES, load_concepts
from data import EXAMPLES, SIZE

RENDERED = 256  # drawn four times too large, then averaged down
BOX = 60  # the side of an emoji's own box in the plain picture
VARIANTS = 6
HELD_OUT = 50  # (name, style) pairs never trained on
HELD_OUT_GROUPS = {"nature", "food", "travel", "activities", "objects"}
COLOURS = {
    "black": (0, 0, 0), "grey": (128, 128, 128), "red": (214, 40, 40), "orange": (250, 145, 30), "yellow": (252, 220, 60),
    "green": (50, 160, 70), "light green": (160, 220, 140), "blue": (40, 90, 210), "light blue": (140, 200, 245),
    "purple": (130, 65, 180), "pink": (250, 165, 200), "brown": (125, 80, 45)}
JITTER = 14  # a colour word stands for colours this near, of 255


def svg(icons, name):
    """The picture `name` of an Iconify package as an SVG document, or None where the package lacks it."""
    seen = name
    while seen in icons.get("aliases", {}):
        seen = icons["aliases"][seen]["parent"]
    if seen not in icons["icons"]:
        return None
    icon = icons["icons"][seen]
    left, top = icon.get("left", 0), icon.get("top", 0)
    width, height = icon.get("width", icons.get("width", 16)), icon.get("height", icons.get("height", 16))
    return f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>'


def render(document):
    """Returns float32 (256, 256, 4), colour premultiplied by alpha, 0..1."""
    png = resvg_py.svg_to_bytes(svg_string=document, width=RENDERED, height=RENDERED)
    rgba = np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGBA"), np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    return rgba


def compose(rgba, background, box, x, y):
    """Places the emoji, `box` pixels a side with its corner at (x, y), on a plain colour; uint8 (64, 64, 3)."""
    small = np.stack([np.asarray(Image.fromarray(np.ascontiguousarray(rgba[..., c]), "F").resize((box, box), Image.BOX if RENDERED % box == 0 else Image.LANCZOS)) for c in range(4)], -1)
    canvas = np.zeros((SIZE, SIZE, 4), np.float32)
    canvas[y:y + box, x:x + box] = small
    out = canvas[..., :3] + (1 - canvas[..., 3:]) * (np.asarray(background, np.float32) / 255)
    return (out.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def variants(rgba, rng):
    """Variant 0 is plain; the others are scaled, moved, and mostly coloured. Returns (pictures, colour words)."""
    margin = (SIZE - BOX) // 2
    pictures, words = [compose(rgba, (255, 255, 255), BOX, margin, margin)], ["white"]
    for _ in range(VARIANTS - 1):
        box = rng.randint(46, SIZE)
        room = SIZE - box
        x, y = (min(max(room // 2 + rng.randint(-5, 5), 0), room) for _ in range(2))
        word, colour = "white", (255, 255, 255)
        if rng.random() < 0.8:
            word = rng.choice(list(COLOURS))
            colour = [min(max(c + rng.randint(-JITTER, JITTER), 0), 255) for c in COLOURS[word]]
        pictures.append(compose(rgba, colour, box, x, y))
        words.append(word)
    return np.stack(pictures), words


def hold_out(records):
    """Marks the pictures that are not trained on: names drawn in all styles, one style of each."""
    styles = Counter(r["name"] for r in records)
    whole = [r for r in records if styles[r["name"]] == len(STYLES) and r["group"] in HELD_OUT_GROUPS and r["name"] not in EXAMPLES]
    names = set()
    for r in random.Random(0).sample(whole, len(whole)):
        if len(names) < HELD_OUT and r["name"] not in names:
            names.add(r["name"])
            r["held_out"] = True


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--npm", required=True, help="folder in which the packages were installed")
    a.add_argument("--out", required=True)
    a = a.parse_args()
    os.makedirs(a.out, exist_ok=True)
    concepts, records, pictures = load_concepts(a.npm), [], []
    for style, (package, _) in STYLES.items():
        with open(f"{a.npm}/node_modules/{package}/icons.json") as f:
            icons = json.load(f)
        for concept in concepts:
            document = svg(icons, concept["slug"])
            if document is None:
                continue
            rng = random.Random(f"{style} {concept['name']}")
            drawn, backgrounds = variants(render(document), rng)
            pictures.append(drawn)
            records.append(dict(concept, style=style, backgrounds=backgrounds, held_out=False))
        print(style, len(records), flush=True)
    hold_out(records)
    np.save(f"{a.out}/variants.npy", np.stack(pictures))
    with open(f"{a.out}/records.json", "w") as f:
        json.dump(records, f)
    print(f"{len(records)} pictures of {len({r['name'] for r in records})} concepts, {VARIANTS} variants each")


if __name__ == "__main__":
    main()
