"""Measures x0 and its peers in turns, and writes a report.

    python compare.py --x0 PROGRAM --folder FOLDER --report FILE.md [ITEM...]

Items: unet-512, unet-256, vae_decode-512, vae_decode-256, text_encoder, memory, serve; all unless some are named. What is
measured is kept in FOLDER/results.json, so that items can be measured one by one, and the report is of all that was ever measured
there. Models and inputs are made in FOLDER once."""

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys

import torch
from safetensors.torch import load_file

import material
import report

HERE = os.path.dirname(os.path.abspath(__file__))
STAGES = {"unet-512": ("unet", 512), "unet-256": ("unet", 256), "vae_decode-512": ("vae_decode", 512), "vae_decode-256": ("vae_decode", 256),
          "text_encoder": ("text_encoder", 512)}
PEERS = ("torch", "openvino")


class Contestant:
    """A program that makes a call for each line on its standard input, and answers with the seconds."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = json.loads(self.heard())

    def heard(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args[:3]} ended: {self.process.wait()}")
        return line

    def turn(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.heard())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def difference(ours, theirs):
    """Relative error in the mean square, and the greatest difference as a part of the greatest value."""
    error = ours - theirs
    return {"relative": float(error.norm() / theirs.norm()), "greatest": float(error.abs().max() / theirs.abs().max())}


def stage(args, name):
    """A network: x0 and each peer in turns, on the same weights and inputs."""
    network, size = STAGES[name]
    models = material.models(args.folder)
    given = material.inputs(args.folder, network, size)
    answer = {who: f"{args.folder}/{network}-{size}-{who}.safetensors" for who in ("x0", *PEERS)}
    commands = {"x0": [args.x0, "bench", "--models", models, "--model", material.MODEL, "--stage", network, "--inputs", given,
                       "--outputs", answer["x0"], "--take-turns"]}
    for peer in PEERS:
        commands[peer] = [sys.executable, f"{HERE}/peer.py", peer, f"{models}/{material.MODEL}", network, given, answer[peer]]
    with contextlib.ExitStack() as stack:
        contestants = {who: stack.enter_context(Contestant(command)) for who, command in commands.items()}
        seconds = {who: [] for who in commands}
        for turn in range(args.rounds):
            # Nobody always comes first.
            order = list(contestants)[turn % len(contestants):] + list(contestants)[:turn % len(contestants)]
            for who in order:
                seconds[who].append(contestants[who].turn())
        about = contestants["x0"].about
    ours = load_file(answer["x0"])[network]
    agreement = {peer: difference(ours, load_file(answer[peer])[network]) for peer in PEERS}
    return {"rows": about["rows"], "gflop": about["gflop"], "seconds": seconds, "agreement": agreement}


def peak_memory(command):
    """Bytes that a program holds at most."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[:3]} ended: {process.returncode}")
    return usage.ru_maxrss * 1024


def memory(args, _):
    """Peak memory of a picture of 512 × 512 pixels: two guided steps and decoding."""
    models = material.models(args.folder)
    ours = [args.x0, "generate", "--models", models, "--model", material.MODEL, "--prompt", "a red apple", "--steps", "2", "--seed", "0",
            "--guidance-scale", "7.5", "--out", f"{args.folder}/x0.png"]
    theirs = [sys.executable, f"{HERE}/picture.py", f"{models}/{material.MODEL}", f"{args.folder}/torch.png"]
    return {"x0": peak_memory(ours), "torch": peak_memory(theirs)}


def serve(args, _):
    """Requests that come at random times, by x0's policy and the baselines."""
    command = [args.x0, "bench", "serve", "--json", "--requests", str(args.requests)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def machine(args):
    """What the machine is, and what it can do at best."""
    bench = json.loads(subprocess.run([args.x0, "bench", "--json", "--repeat", "1"], check=True, capture_output=True, text=True).stdout)
    with open("/proc/cpuinfo") as lines:
        processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    import diffusers
    import openvino

    versions = {"torch": torch.__version__.split("+")[0], "diffusers": diffusers.__version__, "OpenVINO": openvino.__version__.split("-")[0]}
    return bench["machine"] | {"peak_gflops": bench["peak_gflops"], "processor": processor, "versions": versions}


ITEMS = {**dict.fromkeys(STAGES, stage), "memory": memory, "serve": serve}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--x0", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--report", required=True)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("items", nargs="*", metavar="ITEM", help=", ".join(ITEMS))
    args = parser.parse_args()
    if unknown := [item for item in args.items if item not in ITEMS]:
        parser.error(f"there is no {unknown[0]}; there are: {', '.join(ITEMS)}")
    os.makedirs(args.folder, exist_ok=True)
    # What libraries remark while they load says nothing here.
    os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONWARNINGS": "ignore"}
    kept, results = f"{args.folder}/results.json", {}
    if os.path.exists(kept):
        with open(kept) as file:
            results = json.load(file)
    for item in args.items or ITEMS:
        results["machine"] = machine(args)
        results[item] = ITEMS[item](args, item)
        with open(kept, "w") as file:
            json.dump(results, file)
        print(f"{item} is measured", flush=True)
    with open(args.report, "w") as file:
        file.write(report.markdown(results))


if __name__ == "__main__":
    main()
