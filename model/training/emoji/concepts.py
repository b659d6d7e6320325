"""Which emoji the model learns, and what they are called.

A concept is one emoji of `emojibase-data`: its name, the short codes that chat programs give it (names as well) and
its keywords. Skin tones, flags of countries, clock faces, lettered buttons and the gendered forms of people are left
out: they would be many pictures of nearly the same thing."""

import json
import re

# What a style is called in a caption, and the npm package that draws it.
STYLES = {
    "noto": ("@iconify-json/noto", ("noto style",)),
    "twemoji": ("@iconify-json/twemoji", ("twemoji style",)),
    "flat": ("@iconify-json/fluent-emoji-flat", ("flat style", "flat")),
    "3d": ("@iconify-json/fluent-emoji", ("3d style", "3d")),
}
SHORT_CODES = ("github", "emojibase", "joypixels")
GROUPS = {0: "smileys", 1: "people", 3: "nature", 4: "food", 5: "travel", 6: "activities", 7: "objects", 8: "symbols", 9: "flags"}
LEFT_OUT_SUBGROUPS = {"family", "skin-tone", "hair-style", "country-flag", "subdivision-flag", "keycap", "alphanum", "av-symbol"}
GENDERED = re.compile(r"^(man|woman|men|women|mx|mrs\.|pregnant|deaf)\b.|facing right|^person: |^(merman|mermaid)$")
CLOCK_FACE = re.compile(r"o.clock$|-thirty$")


def slug(label):
    """The name under which the icon packages file an emoji."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower().replace("’", "").replace("ñ", "n").replace(".", "")).strip("-")


def words(text):
    """A name as a caption has it: lower case, plain letters, no punctuation but the hyphen."""
    return re.sub(r"[^a-z0-9 -]+", "", text.lower().replace("ñ", "n").replace("_", " ")).strip()


def load_concepts(npm):
    """Reads `npm`/emojibase-data; returns a list of dicts: name, slug, group, synonyms, keywords."""
    folder = f"{npm}/node_modules/emojibase-data"
    with open(f"{folder}/en/data.json") as f:
        emoji = json.load(f)
    with open(f"{folder}/en/messages.json") as f:
        subgroups = {s["order"]: s["key"] for s in json.load(f)["subgroups"]}
    short_codes = []
    for source in SHORT_CODES:
        with open(f"{folder}/en/shortcodes/{source}.json") as f:
            short_codes.append(json.load(f))
    concepts = []
    for e in emoji:
        label = e["label"]
        if e.get("group") not in GROUPS or subgroups[e["subgroup"]] in LEFT_OUT_SUBGROUPS:
            continue
        if GENDERED.search(label) or CLOCK_FACE.search(label):
            continue
        synonyms = set()
        for table in short_codes:
            codes = table.get(e["hexcode"], [])
            synonyms.update(words(c) for c in ([codes] if isinstance(codes, str) else codes))
        name = words(label)
        synonyms = sorted(s for s in synonyms if s != name and len(s) > 2 and not re.search(r"\d", s))
        keywords = sorted({words(k) for k in e.get("tags", [])} - {name, ""})
        concepts.append(dict(name=name, slug=slug(label), group=GROUPS[e["group"]], synonyms=synonyms, keywords=keywords))
    return concepts
