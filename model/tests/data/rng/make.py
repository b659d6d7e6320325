"""Writes extra.json: draws that rng.json lacks. Usage: make.py (needs numpy and torch).

`half`: torch.randn in half precision for counts that are not a multiple of 16, as bits, and the float32 draw after it.
`philox`: the noise of AUTOMATIC1111's "NV" source, computed here with numpy on whole arrays, as float32 bits.
"""
import json
import pathlib

import numpy as np
import torch


def half_cases():
    for name, dtype in (("f16", torch.float16), ("bf16", torch.bfloat16)):
        for count in (3, 17, 20, 40):
            generator = torch.Generator("cpu").manual_seed(7)
            half = torch.randn(count, generator=generator, dtype=dtype)
            after = torch.randn(2, generator=generator)
            yield {
                "dtype": name,
                "bits": half.view(torch.int16).numpy().astype(np.uint16).tolist(),
                "after": after.numpy().view(np.uint32).tolist(),
            }


def philox_randn(seed, draw, count):
    counter = np.zeros((4, count), np.uint64)
    counter[0], counter[2] = draw, np.arange(count)
    low = np.uint64(0xFFFFFFFF)
    key = [np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)]
    for _ in range(10):
        a, b = counter[0] * np.uint64(0xD2511F53), counter[2] * np.uint64(0xCD9E8D57)
        shift = np.uint64(32)
        counter = np.stack([(b >> shift) ^ counter[1] ^ key[0], b & low, (a >> shift) ^ counter[3] ^ key[1], a & low])
        key = [(key[0] + np.uint64(0x9E3779B9)) & low, (key[1] + np.uint64(0xBB67AE85)) & low]
    unit = np.float32(2.3283064e-10)
    turn = np.float32(2.3283064e-10 * 6.2831855)
    u = counter[0].astype(np.float64) * float(unit) + float(unit / 2)
    v = counter[1].astype(np.float64) * float(turn) + float(turn / 2)
    return (np.sqrt(-2 * np.log(u)) * np.sin(v)).astype(np.float32)


def philox_cases():
    for seed in (0, 1, 42, 2**32 + 5, 2**63 - 1):
        yield {"seed": seed, "draws": [philox_randn(seed, k, n).view(np.uint32).tolist() for k, n in enumerate((12, 40, 5))]}


out = pathlib.Path(__file__).with_name("extra.json")
out.write_text(json.dumps({"half": list(half_cases()), "philox": list(philox_cases())}))
