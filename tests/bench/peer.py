"""A network of diffusers or transformers, run by torch or OpenVINO, with the protocol of `x0 bench --take-turns`.

    python peer.py torch|openvino MODEL STAGE INPUTS OUTPUTS

After a first call, whose answer is written to OUTPUTS, it prints a line; then it makes a call for each line that comes, and prints the
seconds. Everything is float32, on as many threads as there are processors."""

import os
import sys
import time

import torch
from safetensors.torch import load_file, save_file

THREADS = len(os.sched_getaffinity(0))


class Network(torch.nn.Module):
    """A network with tensors for inputs and a tensor for an output."""

    def __init__(self, network, call):
        super().__init__()
        self.network, self.call = network, call

    def forward(self, *inputs):
        return self.call(self.network, *inputs)


def load(model, stage):
    """The network, and the names of its inputs."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    float32 = {"torch_dtype": torch.float32}
    if stage == "unet":
        network = UNet2DConditionModel.from_pretrained(model, subfolder="unet", **float32)
        call, names = lambda unet, *inputs: unet(*inputs, return_dict=False)[0], ("sample", "timestep", "encoder_hidden_states")
    elif stage == "vae_decode":
        network = AutoencoderKL.from_pretrained(model, subfolder="vae", **float32)
        call, names = lambda vae, latents: vae.decode(latents, return_dict=False)[0], ("latents",)
    else:
        network = CLIPTextModel.from_pretrained(model, subfolder=stage, dtype=torch.float32)
        call, names = lambda encoder, ids: encoder(ids, return_dict=False)[0], ("input_ids",)
    return Network(network.eval(), call), names


def by_openvino(network, inputs):
    import openvino

    converted = openvino.convert_model(network, example_input=inputs, input=[tuple(x.shape) for x in inputs])
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS}
    compiled = openvino.Core().compile_model(converted, "CPU", options)
    request, arrays = compiled.create_infer_request(), [x.numpy() for x in inputs]
    return lambda: torch.from_numpy(request.infer(arrays)[0])


def main(library, model, stage, inputs, outputs):
    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    network, names = load(model, stage)
    given = load_file(inputs)
    given = [given[f"{stage}.{name}"] for name in names]
    run = {"torch": lambda: lambda: network(*given), "openvino": lambda: by_openvino(network, given)}[library]()
    if library == "openvino":
        del network.network
    save_file({stage: run().contiguous()}, outputs)
    print("{}", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
