"""What prompts in AUTOMATIC1111's syntax make of the models in `../{sd15,sdxl}`, computed in plain torch with transformers 5.23.0's text
encoders and diffusers 0.42.1's UNets and DDIM.

    python make.py        # writes cases.json and cases.safetensors beside itself

The rules are those of AUTOMATIC1111 1.10 with "Emphasis: Original", "Prompt word wrap length limit: 20" and "Pad prompt/negative prompt":
a token's state is multiplied by its weight and the mean of its chunk restored; chunks have 75 tokens, and end behind a comma that is among
their last 20; conditions joined by AND are `u + sum(w (c - u)) * scale`. Shorter texts are padded with chunks of the empty text.
The cases are as in `../pipelines/cases.json`."""

import json
import os
import re

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.image_processor import VaeImageProcessor
from safetensors.torch import save_file
from transformers import AutoTokenizer, CLIPTextModel, CLIPTextModelWithProjection

torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))
ROOM = 75
LONG = "an old lighthouse in a storm, oil painting, " * 9

CASES = [
    dict(base="sd15", name="no_marks", prompt="a red house", negative_prompt="fog"),
    dict(base="sd15", name="weights", prompt="a (red:1.6) house, [on a hill], ((at dusk)), \\(oil\\)", negative_prompt="(fog:1.3), rain"),
    dict(base="sd15", name="negative_weight", prompt="a (red:-0.7) house (of glass:0)"),
    dict(base="sd15", name="overlapping", prompt="(a red [house) on a hill] (at dusk"),
    dict(base="sd15", name="long", prompt=LONG + "(snow:1.4) and ice", negative_prompt="fog"),
    dict(base="sd15", name="long_negative", prompt="a red house", negative_prompt="rain and wind " * 30),
    dict(base="sd15", name="comma", prompt="word " * 66 + ", (one two three four five six seven eight nine ten eleven:1.2)"),
    dict(base="sd15", name="no_near_comma", prompt="a, " + "word " * 80),
    dict(base="sd15", name="break", prompt="(a red house BREAK on a hill:1.3) BREAK"),
    dict(base="sd15", name="and", prompt="a red house AND (a green:1.3) hill :0.6 AND rain :-0.4", negative_prompt="fog AND smoke"),
    dict(base="sd15", name="single_weight", prompt="a red house :1.4"),
    dict(base="sd15", name="and_without_guidance", prompt="a red house AND a hill :0.5", guidance_scale=1.0),
    dict(base="sd15", name="clip_skip", prompt="a (red:1.6) house", negative_prompt="(fog:1.3)", clip_skip=1),
    dict(base="sdxl", name="xl_weights", prompt="a (red:1.6) house, [on a hill]", negative_prompt="(fog:1.3)"),
    dict(base="sdxl", name="xl_long", prompt=LONG + "(snow:1.4) and ice"),
    dict(base="sdxl", name="xl_and", prompt="a red house AND a (green:1.3) hill :0.6", negative_prompt=LONG),
]


def parts(text):
    """`[text, weight]` for each part, `[None, 1]` for a break."""
    out, opened = [], {"(": [], "[": []}
    tokens = re.finditer(r"\\([()\[\]\\])|\\|[(\[]|:\s*([+-]?[.\d]+)\s*\)|[)\]]|[^\\()\[\]:]+|:", text)

    def multiply(start, factor):
        for part in out[start:]:
            part[1] *= factor if part[0] is not None else 1

    for token in tokens:
        mark, (escaped, weight) = token.group(), token.groups()
        if escaped:
            out.append([escaped, 1.0])
        elif mark in opened:
            opened[mark].append(len(out))
        elif weight and opened["("]:
            multiply(opened["("].pop(), float(weight))
        elif mark == ")" and opened["("]:
            multiply(opened["("].pop(), 1.1)
        elif mark == "]" and opened["["]:
            multiply(opened["["].pop(), 1 / 1.1)
        elif mark != "\\":
            for i, piece in enumerate(re.split(r"\s*\bBREAK\b\s*", mark)):
                out += [[None, 1.0]] * (i > 0) + [[piece, 1.0]]
    for start in opened["("]:
        multiply(start, 1.1)
    for start in opened["["]:
        multiply(start, 1 / 1.1)
    merged = []
    for piece, weight in out:
        if merged and piece is not None and merged[-1][0] is not None and merged[-1][1] == weight:
            merged[-1][0] += piece
        else:
            merged.append([piece, weight])
    return merged


def conditions(prompt):
    for one in re.split(r"\bAND\b", prompt):
        weighted = re.fullmatch(r"(?s)(.*?)\s*:\s*([-+]?(?:\d+\.?|\d*\.\d+))\s*", one)
        yield (weighted[1], float(weighted[2])) if weighted else (one, 1.0)


def chunks(text, tokenizer):
    """Lists of (token, weight), none longer than 75."""
    comma, done, chunk, last_comma = tokenizer.convert_tokens_to_ids(",</w>"), [], [], None
    for piece, weight in parts(text):
        if piece is None:
            done.append(chunk)
            chunk, last_comma = [], None
            continue
        for token in tokenizer(piece, add_special_tokens=False).input_ids:
            if token == comma:
                last_comma = len(chunk)
            elif len(chunk) == ROOM and last_comma is not None and ROOM - last_comma <= 20:
                done.append(chunk[: last_comma + 1])
                chunk, last_comma = chunk[last_comma + 1 :], None
            if len(chunk) == ROOM:
                done.append(chunk)
                chunk, last_comma = [], None
            chunk.append((token, weight))
    return done + [chunk] if chunk or not done else done


class Model:
    def __init__(self, base):
        folder = f"{HERE}/../{base}/model"
        self.xl = base == "sdxl"
        options = dict(dtype=torch.float32)
        suffixes = ["", "_2"] if self.xl else [""]
        self.tokenizers = [AutoTokenizer.from_pretrained(f"{folder}/tokenizer{suffix}") for suffix in suffixes]
        classes = [CLIPTextModel, CLIPTextModelWithProjection]
        self.encoders = [of.from_pretrained(f"{folder}/text_encoder{suffix}", **options).eval() for of, suffix in zip(classes, suffixes)]
        self.unet = UNet2DConditionModel.from_pretrained(f"{folder}/unet", torch_dtype=torch.float32).eval()
        self.vae = AutoencoderKL.from_pretrained(f"{folder}/vae", torch_dtype=torch.float32).eval()
        with open(f"{folder}/scheduler/scheduler_config.json") as f:
            self.scheduler = DDIMScheduler.from_config(json.load(f))
        with open(f"{folder}/model_index.json") as f:
            self.zeros = json.load(f).get("force_zeros_for_empty_prompt", True) and self.xl

    def count(self, text):
        return len(chunks(text, self.tokenizers[0]))

    def encode(self, text, count, skip):
        """States of all chunks after another, and the first one's pooled embedding."""
        all_states, pooled = [], None
        for tokenizer, encoder in zip(self.tokenizers, self.encoders):
            padded = chunks(text, tokenizer)
            padded += [[]] * (count - len(padded))
            of_encoder = []
            for i, chunk in enumerate(padded):
                rest = ROOM - len(chunk)
                ids = [tokenizer.bos_token_id] + [token for token, _ in chunk] + [tokenizer.eos_token_id] + [tokenizer.pad_token_id] * rest
                weights = torch.tensor([1.0] + [weight for _, weight in chunk] + [1.0] * (rest + 1))
                out = encoder(torch.tensor([ids]), output_hidden_states=True)
                state = out.hidden_states[-1 - skip - self.xl]
                if not self.xl:
                    state = getattr(encoder, "text_model", encoder).final_layer_norm(state)
                weighted = state * weights[None, :, None]
                of_encoder.append(weighted * (state.mean() / weighted.mean()))
                if i == 0 and encoder is self.encoders[-1] and self.xl:
                    pooled = out.text_embeds
            all_states.append(torch.cat(of_encoder, 1))
        return torch.cat(all_states, -1), pooled

    def texts(self, case):
        """The unconditional embedding, and the others with their weights."""
        several, negative, skip = list(conditions(case["prompt"])), case.get("negative_prompt", ""), case.get("clip_skip", 0)
        count = max(self.count(text) for text in [negative] + [text for text, _ in several])
        positive = [(self.encode(text, count, skip), weight) for text, weight in several]
        unconditional = self.encode(negative, count, skip)
        if negative == "" and self.zeros:
            unconditional = tuple(torch.zeros_like(part) for part in unconditional)
        return unconditional, positive

    def make(self, case, unconditional, positive):
        latents = torch.randn((1, 4, 32, 32), generator=torch.Generator("cpu").manual_seed(case["seeds"][0]))
        self.scheduler.set_timesteps(case["steps"])
        latents = latents * self.scheduler.init_noise_sigma
        for t in self.scheduler.timesteps:
            def predict(embedding):
                states, pooled = embedding
                added = dict(text_embeds=pooled, time_ids=torch.tensor([[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]])) if self.xl else None
                return self.unet(latents, t, encoder_hidden_states=states, added_cond_kwargs=added).sample

            u = predict(unconditional)
            towards = sum(weight * (predict(embedding) - u) for embedding, weight in positive)
            latents = self.scheduler.step(u + case["guidance_scale"] * towards, t, latents).prev_sample
        image = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        image = VaeImageProcessor().postprocess(image, output_type="pt")
        return latents, image.mul(255).round().to(torch.uint8)


@torch.no_grad()
def main():
    models = {base: Model(base) for base in ("sd15", "sdxl")}
    defaults = dict(sampler="ddim", steps=3, guidance_scale=3.0, width=64, height=64, prompt_syntax="a1111")
    cases, tensors = [{**defaults, "seeds": [2000 + i], **case} for i, case in enumerate(CASES)], {}
    for case in cases:
        model = models[case["base"]]
        unconditional, positive = model.texts(case)
        latents, image = model.make(case, unconditional, positive)
        tensors |= {f"{case['name']}.latents": latents.contiguous(), f"{case['name']}.image": image.contiguous()}
        # By how much the marks matter: the test would be blind without.
        plain = {**case, "prompt": re.sub(r"[()\[\]\\]|:\s*[-+.\d]+|BREAK", " ", case["prompt"]).split("AND")[0]}
        other = model.make(case, *model.texts(plain))[0]
        print(f"{case['name']}: {positive[0][0][0].shape[1]} tokens, latents {latents.std():.3f}, without marks off by {(latents - other).abs().max():.3f}")
    save_file(tensors, f"{HERE}/cases.safetensors")
    with open(f"{HERE}/cases.json", "w") as f:
        json.dump({"cases": cases}, f, indent=1)


main()
