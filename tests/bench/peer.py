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
# Of each network's inputs, in the order of its arguments.
NAMES = {"unet": ("sample", "timestep", "encoder_hidden_states"), "vae_decode": ("latents",), "text_encoder": ("input_ids",)}


class Network(torch.nn.Module):
    """A network with tensors for inputs and a tensor for an output."""

    def __init__(self, network, call):
        super().__init__()
        self.network, self.call = network, call

    def forward(self, *inputs):
        return self.call(self.network, *inputs)


def load(model, stage):
    """A network in float32."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    float32 = {"torch_dtype": torch.float32}
    if stage == "unet":
        network = UNet2DConditionModel.from_pretrained(model, subfolder="unet", **float32)
        call = lambda unet, *inputs: unet(*inputs, return_dict=False)[0]
    elif stage == "vae_decode":
        network = AutoencoderKL.from_pretrained(model, subfolder="vae", **float32)
        call = lambda vae, latents: vae.decode(latents, return_dict=False)[0]
    else:
        network = CLIPTextModel.from_pretrained(model, subfolder=stage, dtype=torch.float32)
        call = lambda encoder, ids: encoder(ids, return_dict=False)[0]
    return Network(network.eval(), call)


def by_openvino(model, stage, given):
    import openvino

    # Converting takes minutes, so what comes of it is kept beside the model.
    kept = f"{model}/{stage}.openvino.xml"
    if not os.path.exists(kept):
        inputs = tuple(given[name] for name in NAMES[stage])
        openvino.save_model(openvino.convert_model(load(model, stage), example_input=inputs), kept, compress_to_fp16=False)
    core = openvino.Core()
    converted = core.read_model(kept)
    inputs = [given[name] for name in NAMES[stage]]
    converted.reshape({port: list(x.shape) for port, x in zip(converted.inputs, inputs, strict=True)})
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS}
    request, arrays = core.compile_model(converted, "CPU", options).create_infer_request(), [x.numpy() for x in inputs]
    return lambda: torch.from_numpy(request.infer(arrays)[0])


def by_torch(model, stage, given):
    network, inputs = load(model, stage), [given[name] for name in NAMES[stage]]
    return lambda: network(*inputs)


def main(library, model, stage, inputs, outputs):
    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    given = {name.removeprefix(f"{stage}."): tensor for name, tensor in load_file(inputs).items()}
    run = {"torch": by_torch, "openvino": by_openvino}[library](model, stage, given)
    save_file({stage: run().contiguous()}, outputs)
    print("{}", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
