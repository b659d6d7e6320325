"""A network of diffusers or transformers, run by torch or OpenVINO, with the protocol of `x0 bench --take-turns`.

    python peer.py eager|compiled|openvino DEVICE MODEL STAGE INPUTS OUTPUTS

After a first call, whose answer is written to OUTPUTS, it prints a line; then it makes a call for each line that comes, and prints the
seconds. On the processor everything is float32, on as many threads as there are processors; on a GPU it is bfloat16, and maps have their
channels last, as convolutions there want them."""

import os
import sys
import time

import torch
from safetensors.torch import load_file, save_file

import items

THREADS = len(os.sched_getaffinity(0))
# Of each network's inputs, in the order of its arguments.
NAMES = {"unet": ("sample", "timestep", "encoder_hidden_states"), "vae_decode": ("latents",), "text_encoder": ("input_ids",)}


def settle():
    """What is the same for all that torch computes."""
    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    torch.backends.cudnn.benchmark = True


def placed(module, device):
    """A network where it is to compute, as its users would put it there."""
    module = module.eval().to(device)
    return module.to(memory_format=torch.channels_last) if device == "cuda" else module


def compiled(call):
    """As diffusers' documentation has it."""
    return torch.compile(call, mode="max-autotune", fullgraph=True, dynamic=False)


def precision(device):
    return getattr(torch, items.DEVICES[device].precision)


class Network(torch.nn.Module):
    """A network with tensors for inputs and a tensor for an output."""

    def __init__(self, network, call):
        super().__init__()
        self.network, self.call = network, call

    def forward(self, *inputs):
        return self.call(self.network, *inputs)


def load(model, stage, device):
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    dtype = precision(device)
    if stage == "unet":
        network = UNet2DConditionModel.from_pretrained(model, subfolder="unet", torch_dtype=dtype)
        call = lambda unet, *inputs: unet(*inputs, return_dict=False)[0]
    elif stage == "vae_decode":
        network = AutoencoderKL.from_pretrained(model, subfolder="vae", torch_dtype=dtype)
        call = lambda vae, latents: vae.decode(latents, return_dict=False)[0]
    else:
        network = CLIPTextModel.from_pretrained(model, subfolder=stage, dtype=dtype)
        call = lambda encoder, ids: encoder(ids, return_dict=False)[0]
    return Network(placed(network, device), call)


def inputs_on(device, given, stage):
    """Inputs in the order of a network's arguments. The time stays float32: its sines are narrowed, not it."""

    def place(name):
        tensor = given[name].to(device)
        if tensor.is_floating_point() and name != "timestep":
            tensor = tensor.to(precision(device))
        return tensor.contiguous(memory_format=torch.channels_last) if device == "cuda" and tensor.ndim == 4 else tensor

    return [place(name) for name in NAMES[stage]]


def by_openvino(model, stage, given, device):
    import openvino

    # Converting takes minutes, so what comes of it is kept beside the model.
    kept, inputs = f"{model}/{stage}.openvino.xml", inputs_on(device, given, stage)
    if not os.path.exists(kept):
        openvino.save_model(openvino.convert_model(load(model, stage, device), example_input=tuple(inputs)), kept, compress_to_fp16=False)
    core = openvino.Core()
    converted = core.read_model(kept)
    converted.reshape({port: list(x.shape) for port, x in zip(converted.inputs, inputs, strict=True)})
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS}
    request, arrays = core.compile_model(converted, "CPU", options).create_infer_request(), [x.numpy() for x in inputs]
    return lambda: torch.from_numpy(request.infer(arrays)[0])


def by_torch(network, inputs, device):
    def run():
        answer = network(*inputs)
        if device == "cuda":
            torch.cuda.synchronize()
        return answer

    return run


def eager(model, stage, given, device):
    return by_torch(load(model, stage, device), inputs_on(device, given, stage), device)


def by_compiled(model, stage, given, device):
    return by_torch(compiled(load(model, stage, device)), inputs_on(device, given, stage), device)


def main(peer, device, model, stage, inputs, outputs):
    settle()
    given = {name.removeprefix(f"{stage}."): tensor for name, tensor in load_file(inputs).items()}
    run = {"eager": eager, "compiled": by_compiled, "openvino": by_openvino}[peer](model, stage, given, device)
    save_file({stage: run().float().cpu().contiguous()}, outputs)
    print("{}", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
