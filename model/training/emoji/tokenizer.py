"""Stage 2: learns a byte-pair encoding from the captions and writes it in CLIP's format.

    python tokenizer.py --data DATA --out OUT        # writes OUT/tokenizer"""

import argparse
import json
import os
import random

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from data import caption, load

MERGES = 3000
MAX_LENGTH = 32  # tokens of a prompt, with its begin and end
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
WORD = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"  # CLIP's


def byte_letters():
    """The letters that stand for the 256 bytes, in CLIP's order: printable ones stand for themselves."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]


def learn(texts):
    """Returns the merges, most useful first, as pairs of tokens."""
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    learner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    learner.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    letters = byte_letters()
    learner.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=2 * len(letters) + MERGES, initial_alphabet=letters, end_of_word_suffix="</w>", show_progress=False))
    return [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in json.loads(learner.to_str())["model"]["merges"]][:MERGES]


def write(merges, path):
    os.makedirs(path, exist_ok=True)
    letters = byte_letters()
    vocabulary = letters + [c + "</w>" for c in letters] + list(dict.fromkeys(a + b for a, b in merges)) + [BEGIN, END]
    assert len(set(vocabulary)) == len(vocabulary)
    special = dict(bos_token=BEGIN, eos_token=END, unk_token=END, pad_token=END)

    def dump(name, value):
        with open(f"{path}/{name}", "w", encoding="utf-8") as f:
            json.dump(value, f, ensure_ascii=False, indent=None if name == "vocab.json" else 1)

    dump("vocab.json", {token: i for i, token in enumerate(vocabulary)})
    dump("special_tokens_map.json", special)
    dump("tokenizer_config.json", dict(special, tokenizer_class="CLIPTokenizer", model_max_length=MAX_LENGTH, do_lower_case=True, add_prefix_space=False, errors="replace"))
    with open(f"{path}/merges.txt", "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--data", required=True)
    a.add_argument("--out", required=True)
    a = a.parse_args()
    records, _ = load(a.data)
    rng = random.Random(0)
    texts = [caption(r, b, rng) for r in records for b in r["backgrounds"]]
    texts += [t for r in records for t in (r["name"], *r["synonyms"])]
    write(learn(texts), f"{a.out}/tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(f"{a.out}/tokenizer")
    lengths = sorted(len(ids) for ids in tokenizer(texts).input_ids)
    print(f"{len(tokenizer)} tokens; captions take {lengths[len(lengths) // 2]} (median), {lengths[-1]} (longest) of {MAX_LENGTH}")
    for text in ("a red apple", "Grinning face, twemoji style on a light blue background", "naïve żółw 42!"):
        ids = tokenizer(text).input_ids
        print(tokenizer.convert_ids_to_tokens(ids), repr(tokenizer.decode(ids, skip_special_tokens=True)))


if __name__ == "__main__":
    main()
