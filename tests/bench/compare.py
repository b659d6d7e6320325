"""Measures x0 and its peers in turns, and writes a report.

    python compare.py --x0 PROGRAM --folder FOLDER [--device cpu|cuda] [--peers PEER,...|none] [ITEM...]

Items: unet-SIZE-ROWS, vae_decode-SIZE, text_encoder, pictures-COUNT (whole pictures, so many at a time), preview, memory, serve; unless some
are named, those that the report of the device is made of. Peers: eager and compiled, which are torch's, and openvino. With
--peers none x0 is measured alone; nothing but Python's own library is needed then, and the model is made by x0 itself.

What is measured is kept in FOLDER/results-DEVICE.json, so that items can be measured one by one, and the report is of all that was ever
measured there. Models and inputs are made in FOLDER once, and what torch compiles is kept there."""

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys

import items
import report
from served import Server

HERE = os.path.dirname(os.path.abspath(__file__))
# Pictures that each of several clients gets in a turn, so that there is company to join and to leave.
EACH = 4
# How the libraries that peers need are called in a report.
LIBRARIES = {"torch": "torch", "diffusers": "diffusers", "openvino": "OpenVINO"}


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


class Subject:
    """The model that all are measured with, as x0 is told of it: a folder, or a shape for which x0 makes the weights itself."""

    def __init__(self, args):
        self.folder = None
        if args.model:
            self.folder = os.path.abspath(args.model)
        elif args.peers:
            import material

            self.folder = material.model(os.path.abspath(args.folder))
        self.name = os.path.basename(self.folder) if self.folder else "sd15"
        # For a server, and for a program that is to be told one model.
        self.all = ["--models", os.path.dirname(self.folder)] if self.folder else ["--shape", self.name]
        self.one = [*self.all, "--model", self.name] if self.folder else self.all


def in_turns(args, turns):
    """What each of several functions gives, called in turns. Nobody always comes first."""
    given, warm_up = {who: [] for who in turns}, items.DEVICES[args.device].warm_up
    for turn in range(warm_up + args.rounds):
        order = list(turns)[turn % len(turns):] + list(turns)[:turn % len(turns)]
        for who in order:
            value = turns[who]()
            if turn >= warm_up:
                given[who].append(value)
    return given


def bench(args, *options):
    """What `x0 bench` says in JSON."""
    command = [args.x0, "bench", "--json", "--device", args.device, *options]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def difference(ours, theirs):
    """Relative error in the mean square, and the greatest difference as a part of the greatest value."""
    error = ours - theirs
    return {"relative": float(error.norm() / theirs.norm()), "greatest": float(error.abs().max() / theirs.abs().max())}


def network(args, subject, item):
    """x0 and each peer in turns, on the same weights and inputs."""
    stage, size, rows = item.stage, item.size, item.rows
    answer = {who: f"{args.folder}/{stage}-{size}-{rows}-{who}.safetensors" for who in ("x0", *args.peers)}
    ours = [args.x0, "bench", *subject.one, "--stage", stage, "--outputs", answer["x0"], "--take-turns", "--device", args.device]
    if args.peers:
        import material

        given = material.inputs(args.folder, subject.folder, stage, size, rows)
        ours += ["--inputs", given]
    else:
        ours += ["--size", str(size), "--rows", str(rows)]
    commands = {"x0": ours}
    for peer in args.peers:
        commands[peer] = [sys.executable, f"{HERE}/peer.py", peer, args.device, subject.folder, stage, given, answer[peer]]
    with contextlib.ExitStack() as stack:
        contestants = {who: stack.enter_context(Contestant(command)) for who, command in commands.items()}
        seconds = in_turns(args, {who: contestant.turn for who, contestant in contestants.items()})
        about = contestants["x0"].about
    agreement = {}
    if args.peers:
        from safetensors.torch import load_file

        agreement = {peer: difference(load_file(answer["x0"])[stage], load_file(answer[peer])[stage]) for peer in args.peers}
    return {"rows": about["rows"], "gflop": about["gflop"], "seconds": seconds, "agreement": agreement}


def pictures(args, subject, item):
    """Whole pictures: x0's clients each ask for one after the other, diffusers makes as many together."""
    at_once, each = item.at_once, 1 if item.at_once == 1 else EACH
    counted = bench(args, *subject.one, "--repeat", "1")
    gflop = items.STEPS * counted["unet"]["gflop"] + counted["vae_decode"]["gflop"] + counted["text_encoder"]["gflop"]
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server([args.x0, "serve", *subject.all, "--device", args.device], subject.name))
        # Calls of every number of rows that may come are recorded once.
        for company in range(1, at_once + 1):
            server.pictures(company)
        turns = {"x0": lambda: server.pictures(at_once, each)}
        for peer in args.peers:
            command = [sys.executable, f"{HERE}/picture.py", peer, args.device, subject.folder, str(items.STEPS), str(at_once), str(each)]
            turns[peer] = stack.enter_context(Contestant(command)).turn
        seconds = in_turns(args, turns)
    return {"at_once": at_once, "pictures": at_once * each, "gflop": gflop, "seconds": seconds}


def preview(args, subject, _):
    """A picture with a preview of every step, and one without any, in turns."""
    with Server([args.x0, "serve", *subject.all, "--device", args.device], subject.name) as server:
        shown = {"with": {"preview": {"every": 1}}, "without": {}}
        turns = {name: lambda more=more: server.events(**more) for name, more in shown.items()}
        # Once for the weights, and for whatever the first preview needs.
        turns["with"]()
        given = in_turns(args, turns)
    seconds = {name: [seconds for seconds, _ in values] for name, values in given.items()}
    return {"previews": min(count for _, count in given["with"]), "seconds": seconds}


def peak_memory(command):
    """Bytes that a program holds at most."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[:3]} ended: {process.returncode}")
    return usage.ru_maxrss * 1024


def memory(args, subject, _):
    """Peak memory of a picture of 512 × 512 pixels: two guided steps and decoding."""
    ours = [args.x0, "generate", *subject.one, "--prompt", "a red apple", "--steps", "2", "--seed", "0", "--guidance-scale", str(items.GUIDANCE),
            "--out", f"{args.folder}/x0.png", "--device", args.device]
    theirs = [sys.executable, f"{HERE}/picture.py", "eager", args.device, subject.folder, "2", "1", "1"]
    return {"x0": peak_memory(ours), "torch": peak_memory(theirs)}


def serve(args, subject, _):
    """Requests that come at random times, by x0's policy and the baselines: on a GPU for the model that all is measured with."""
    models = [*subject.all, "--model", subject.name] if args.device == "cuda" or args.model else []
    command = [args.x0, "bench", "serve", "--json", "--requests", str(args.requests), "--device", args.device, *models]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    # It has failed too if pictures differ, and then the report says so.
    if not process.stdout:
        raise RuntimeError(f"{command[:3]} ended: {process.returncode}")
    return {"models": models[-1:], "policies": json.loads(process.stdout)}


def machine(args, subject):
    """What the machine is, and what it can do at best."""
    measured = bench(args, *subject.one, "--stage", "text_encoder", "--repeat", "1")
    with open("/proc/cpuinfo") as lines:
        processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    needed = {library for peer in args.peers for library in items.PEERS[peer]}
    versions = {name: importlib.metadata.version(library).split("+")[0].split("-")[0] for library, name in LIBRARIES.items() if library in needed}
    return measured["machine"] | {"peak_gflops": measured["peak_gflops"], "processor": processor, "versions": versions,
                                   "model": args.model and subject.name}


MEASURE = {items.Network: network, items.Pictures: pictures, items.Preview: preview, items.Memory: memory, items.Serve: serve}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--x0", required=True, metavar="PROGRAM")
    parser.add_argument("--folder", required=True)
    parser.add_argument("--device", choices=items.DEVICES, default="cpu")
    parser.add_argument("--peers", metavar="PEER,...", help=f"of {', '.join(items.PEERS)}, or none [default: those of the device's report]")
    parser.add_argument("--model", metavar="FOLDER", help="a model of diffusers' layout [default: random weights of Stable Diffusion 1.5's size]")
    parser.add_argument("--report", metavar="FILE.md", help="[default: docs/benchmarks.md, docs/benchmarks-cuda.md]")
    parser.add_argument("--rounds", type=int, help="turns that each contestant has [default: 4 on the processor, 10 on a GPU]")
    parser.add_argument("--requests", type=int, default=100, help="of each trial of serve")
    parser.add_argument("items", nargs="*", metavar="ITEM", help=items.NAMES)
    args = parser.parse_args()
    usual = items.DEVICES[args.device]
    args.peers = usual.peers if args.peers is None else () if args.peers == "none" else tuple(args.peers.split(","))
    if unknown := [peer for peer in args.peers if peer not in items.PEERS]:
        parser.error(f"there is no peer {unknown[0]}; there are: {', '.join(items.PEERS)}, and none")
    if args.device != "cpu" and "openvino" in args.peers:
        parser.error("openvino is a peer on the processor only")
    if missing := sorted({library for peer in args.peers for library in items.PEERS[peer] if importlib.util.find_spec(library) is None}):
        parser.error(f"the peers need {', '.join(missing)}: see tests/bench/requirements.txt, or measure x0 alone with --peers none")
    args.items = args.items or [item for item in usual.items if args.peers or item != "memory"]
    for name in args.items:
        item = items.read(name)
        if item is None:
            parser.error(f"there is no {name}; there are: {items.NAMES}")
        if isinstance(item, items.Memory) and (args.device != "cpu" or "eager" not in args.peers):
            parser.error("memory compares x0 with eager on the processor")
        if isinstance(item, items.Pictures) and "openvino" in args.peers:
            parser.error(f"{name}: openvino is measured with networks only; name other peers")
    if args.device == "cuda" and args.peers:
        import torch

        if not torch.cuda.is_available():
            parser.error("torch finds no GPU: measure x0 alone with --peers none")
    args.rounds = usual.rounds if args.rounds is None else args.rounds
    args.report = args.report or usual.report
    return args


def main():
    args = arguments()
    os.makedirs(args.folder, exist_ok=True)
    # What libraries remark while they load says nothing here.
    os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONWARNINGS": "ignore"}
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.abspath(f"{args.folder}/inductor"))
    kept, results = f"{args.folder}/results-{args.device}.json", {}
    if os.path.exists(kept):
        with open(kept) as file:
            results = json.load(file)
    if not args.peers:
        print("x0 is measured alone", flush=True)
    subject = Subject(args)
    for name in args.items:
        known = results.get("machine", {"versions": {}})["versions"]
        results["machine"] = machine(args, subject)
        # Other items may have other peers.
        results["machine"]["versions"] = known | results["machine"]["versions"]
        item = items.read(name)
        results[name] = MEASURE[type(item)](args, subject, item)
        with open(kept, "w") as file:
            json.dump(results, file)
        # Whoever has a machine for a short time only has at least what was measured so far.
        with open(args.report, "w") as file:
            file.write(report.markdown(results))
        print(f"{name} is measured", flush=True)


if __name__ == "__main__":
    main()
