"""Writes cases.json and cases.safetensors: what diffusers' schedulers compute with a model that needs no weights.

Usage: make.py (needs diffusers 0.42, torch, scipy, safetensors). The two tensors hold the rows of all cases one after the
other, in the order of cases.json. `calls`: for each model call its timestep, what its input was divided by, and the factors
of a clean picture and of noise that `add_noise` gives before it. `samples`: for each step in `stored` the sample after the
step and the predicted clean sample, or NaN where the scheduler does not tell it. A `result` of null says that the
scheduler's numbers were not finite.
"""
import inspect
import json
import pathlib
import warnings

import diffusers
import numpy as np
import torch
from safetensors.torch import save_file

warnings.simplefilter("ignore")
diffusers.utils.logging.set_verbosity_error()
torch.set_num_threads(1)

SHAPE = (1, 3, 3, 3)
SAMPLERS = {
    "ddpm": ("DDPMScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "lms": ("LMSDiscreteScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpm2": ("KDPM2DiscreteScheduler", {}),
    "dpm2_ancestral": ("KDPM2AncestralDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}),
    "dpmpp_2s": ("DPMSolverSinglestepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "deis": ("DEISMultistepScheduler", {}),
    "lcm": ("LCMScheduler", {}),
}
DISCRETE = ["ddpm", "ddim", "pndm", "lcm"]
SOLVERS = ["dpmpp_2m", "dpmpp_2m_sde", "dpmpp_2s", "unipc", "deis"]
SCHEDULED = ["lms", "euler", "heun", "dpm2", "dpm2_ancestral", *SOLVERS]
SPACED = [name for name in SAMPLERS if name not in ("lcm", "dpmpp_2s")]
NO_SAMPLE_PREDICTION = ["pndm", "euler_ancestral", "dpm2", "dpm2_ancestral"]

SD = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, set_alpha_to_one=False, clip_sample=False)
PIXEL = dict(beta_start=0.0001, beta_end=0.02, beta_schedule="linear", clip_sample=True, variance_type="fixed_small")
COSINE = dict(beta_schedule="squaredcos_cap_v2")
ZERO_SNR = dict(SD, rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing")


def f32(value):
    return np.float32(value)


def model(sample, timestep, mode):
    """Neighbours are mixed and squashed, in float32 operations that every language rounds alike."""
    x = sample.numpy().reshape(-1)
    phase = (np.arange(x.size) * 37 % 64).astype(np.float32) / f32(64)
    z = x * f32(0.75) + np.roll(x, 1) * f32(0.25) + (phase - f32(timestep) * f32(0.0009765625))
    out = z * f32(1.25) / (f32(1) + np.abs(z))
    if mode is None:
        return torch.from_numpy(out.reshape(sample.shape))
    v = phase - f32(0.5) if mode == "learned_range" else phase * f32(0.125) + f32(0.0078125)
    return torch.from_numpy(np.concatenate([out, v]).reshape(1, -1, *sample.shape[2:]))


def original():
    return torch.from_numpy((np.arange(27) * 11 % 27).astype(np.float32).reshape(SHAPE) / f32(13) - f32(1))


def predicted_x0(name, scheduler, result, timestep, sample, output):
    if name == "pndm":
        alpha = scheduler.alphas_cumprod[timestep]
        if scheduler.config.prediction_type == "epsilon":
            return (sample - (1 - alpha) ** 0.5 * output) / alpha**0.5
        return alpha**0.5 * sample - (1 - alpha) ** 0.5 * output
    if name in ("dpmpp_2m", "dpmpp_2m_sde", "dpmpp_2s") or name == "unipc" and scheduler.predict_x0:
        return scheduler.model_outputs[-1]
    if name == "lcm":
        skip, out = scheduler.get_scalings_for_boundary_condition_discrete(timestep)
        return (result.denoised - skip * sample) / out
    stated = getattr(result, "pred_original_sample", None)
    return torch.full(SHAPE, float("nan")) if stated is None else stated


def noising(scheduler, timestep):
    one, zero, timesteps = torch.ones(1), torch.zeros(1), timestep.reshape(1)
    return [scheduler.add_noise(one, zero, timesteps).item(), scheduler.add_noise(zero, one, timesteps).item()]


def run(name, config, steps, options, strength, eta, seed):
    class_name, fixed = SAMPLERS[name]
    extra = {f"use_{options['noise_schedule']}_sigmas": True} if "noise_schedule" in options else {}
    if "timestep_spacing" in options:
        extra["timestep_spacing"] = options["timestep_spacing"]
    scheduler = getattr(diffusers, class_name).from_config(config, **fixed, **extra)
    scheduler.set_timesteps(steps)
    begin = 0 if strength is None else max(steps - min(int(steps * strength), steps), 0) * scheduler.order
    # The pipelines for text-to-image leave it to the scheduler to find the place of the first timestep, and where
    # timesteps repeat it finds the second. The place is 0.
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    timesteps = scheduler.timesteps[begin:]
    generator = torch.Generator("cpu").manual_seed(seed)
    noise = torch.randn(SHAPE, generator=generator)
    scale = float(scheduler.init_noise_sigma)
    if strength is None:
        sample = noise * scheduler.init_noise_sigma
    else:
        sample = scheduler.add_noise(original(), noise, timesteps[:1])
    accepted = inspect.signature(scheduler.step).parameters
    given = {key: value for key, value in (("generator", generator), ("eta", eta)) if key in accepted and value is not None}
    mode = config.get("variance_type") if config.get("variance_type") in ("learned", "learned_range") else None

    count = len(timesteps)
    stored = [i for i in range(count) if count <= 6 or i < 3 or i % 13 == 0 or i == count - 1]
    calls, samples = [], []
    noise_factors = noising(scheduler, timesteps[0])
    for i, timestep in enumerate(timesteps):
        scaled = scheduler.scale_model_input(sample, timestep)
        divisor = (sample / scaled).median().item() if sample is not scaled else 1.0
        calls.append([float(timestep), divisor, *noise_factors])
        output = model(scaled, timestep, mode)
        result = scheduler.step(output, timestep, sample, **given)
        x0 = predicted_x0(name, scheduler, result, timestep, sample, output[:, :3])
        sample = result.prev_sample
        if i in stored:
            samples.append(torch.stack([sample.reshape(-1), x0.reshape(-1)]))
        if i + 1 < count:
            noise_factors = noising(scheduler, timesteps[i + 1])
    request = {"sampler": name, "config": config, "steps": steps, **options, "strength": strength, "eta": eta}
    request = {"sampler": name, "config": config, "steps": steps, **options, "strength": strength, "eta": eta}
    samples, calls = torch.stack(samples), torch.tensor(calls, dtype=torch.float32)
    if not samples[:, 0].isfinite().all():
        return {"request": request, "result": None}, samples[:0], calls[:0]
    after = torch.randn(1, generator=generator).item()
    result = {"seed": seed, "initial_noise_scale": scale, "calls": count, "stored": stored, "after": after}
    return {"request": request, "result": result}, samples, calls


def case(name, config, steps, options={}, strength=None, eta=None):
    return name, config, steps, options, strength, eta


def cases():
    for name in SAMPLERS:
        for steps in (1, 2, 3, 5, 8, 20, 50):
            yield case(name, SD, steps)
        for config in (PIXEL, COSINE):
            yield case(name, config, 7)
        yield case(name, dict(SD, prediction_type="v_prediction"), 6)
        if name not in NO_SAMPLE_PREDICTION:
            yield case(name, dict(SD, prediction_type="sample"), 6)
        for steps, strength in ((6, 0.3), (6, 0.84), (10, 0.7), (5, 1.0)):
            yield case(name, SD, steps, {}, strength)
        yield case(name, dict(SD, prediction_type="v_prediction", num_train_timesteps=600), 20, {}, 0.55)
    for name in SCHEDULED:
        for schedule in ("karras", "exponential", "beta"):
            for config, steps in ((SD, 1), (SD, 4), (PIXEL, 12), (dict(COSINE, prediction_type="v_prediction"), 20)):
                yield case(name, config, steps, {"noise_schedule": schedule})
            yield case(name, SD, 9, {"noise_schedule": schedule}, 0.6)
            yield case(name, dict(SD, sigma_min=0.1, sigma_max=9.5), 5, {"noise_schedule": schedule})
        yield case(name, dict(SD, use_karras_sigmas=True), 6)
    for name in SPACED:
        for spacing in ("linspace", "leading", "trailing"):
            for steps in (1, 4, 7, 30):
                yield case(name, SD, steps, {"timestep_spacing": spacing})
        yield case(name, dict(SD, timestep_spacing="trailing", steps_offset=0), 5)
    yield case("euler", SD, 6, {"timestep_spacing": "leading", "noise_schedule": "karras"})
    yield case("dpmpp_2m", SD, 6, {"timestep_spacing": "trailing", "noise_schedule": "karras"})

    threshold = dict(thresholding=True, dynamic_thresholding_ratio=0.8, sample_max_value=1.5)
    for name in [*SOLVERS, "ddpm", "ddim", "lcm"]:
        yield case(name, dict(SD, **threshold), 6)
        yield case(name, dict(SD, thresholding=True, prediction_type="v_prediction"), 6)
    for name in ("ddpm", "ddim", "lcm", "heun"):
        yield case(name, dict(SD, clip_sample=True, clip_sample_range=0.7), 6)
    for variance in ("fixed_small_log", "fixed_large", "learned", "learned_range"):
        yield case("ddpm", dict(PIXEL, variance_type=variance), 8)
    for name in ("dpmpp_2m", "dpmpp_2m_sde", "dpmpp_2s"):
        yield case(name, dict(PIXEL, variance_type="learned_range"), 5)
    for name in ("ddpm", "ddim", "lcm", "euler", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_sde", "unipc"):
        yield case(name, ZERO_SNR, 8)
        yield case(name, dict(ZERO_SNR, timestep_spacing="leading", prediction_type="epsilon"), 5)
    for schedule in ("sigmoid", "laplace"):
        yield case("ddpm", dict(PIXEL, beta_schedule=schedule), 6)
    yield case("heun", dict(beta_schedule="exp"), 6)
    for name in SAMPLERS:
        if name != "lcm":
            yield case(name, dict(num_train_timesteps=40, trained_betas=[0.001 + 0.0005 * i for i in range(40)], clip_sample=False), 5)
    for eta in (0.3, 1.0):
        for config in (SD, PIXEL, dict(SD, set_alpha_to_one=True)):
            yield case("ddim", config, 6, {}, None, eta)
    yield case("ddim", SD, 8, {}, 0.5, 1.0)
    yield case("pndm", dict(SD, set_alpha_to_one=True), 5)

    for name in SOLVERS:
        yield case(name, dict(SD, final_sigmas_type="sigma_min"), 6)
        yield case(name, dict(SD, final_sigmas_type="sigma_min", lower_order_final=False), 6)
        yield case(name, dict(SD, final_sigmas_type="sigma_min"), 20)
        yield case(name, dict(SD, final_sigmas_type="sigma_min"), 6, {"noise_schedule": "karras"})
        yield case(name, dict(SD, final_sigmas_type="sigma_min", solver_type="heun"), 6)
        yield case(name, dict(SD, final_sigmas_type="sigma_min", solver_type="bh1"), 6)
        yield case(name, dict(COSINE, lambda_min_clipped=-5.1), 8)
    for name in ("dpmpp_2m", "dpmpp_2m_sde"):
        yield case(name, dict(SD, euler_at_final=True, final_sigmas_type="sigma_min"), 20)
        yield case(name, dict(SD, use_lu_lambdas=True), 6)
        yield case(name, dict(COSINE, lambda_min_clipped=-5.1, timestep_spacing="leading"), 6)
    for order in (1, 3):
        for steps in (5, 20):
            for name in ("unipc", "deis"):
                yield case(name, dict(SD, solver_order=order), steps)
        yield case("unipc", dict(SD, solver_order=order, solver_type="bh1", final_sigmas_type="sigma_min"), 6)
    for prediction in ("epsilon", "v_prediction", "sample"):
        yield case("unipc", dict(SD, predict_x0=False, final_sigmas_type="sigma_min", prediction_type=prediction), 6)
    yield case("unipc", dict(SD, disable_corrector=[0, 2]), 6)
    yield case("unipc", dict(SD, disable_corrector=[3], solver_order=3), 8, {}, 0.7)
    yield case("deis", dict(SD, solver_order=3, lower_order_final=False), 8, {}, 0.7)
    yield case("euler", dict(SD, interpolation_type="log_linear"), 6)
    yield case("euler", dict(SD, interpolation_type="log_linear"), 6, {"noise_schedule": "karras"})
    yield case("euler", dict(SD, timestep_type="continuous", prediction_type="v_prediction"), 6)
    yield case("euler", dict(SD, final_sigmas_type="sigma_min"), 6)
    yield case("lcm", dict(SD, original_inference_steps=20, timestep_scaling=3.0), 7)
    yield case("lcm", dict(SD, set_alpha_to_one=True), 4, {}, 0.5)


records, samples, calls = zip(*(run(*arguments, seed=index) for index, arguments in enumerate(cases())))
folder = pathlib.Path(__file__).parent
save_file({"samples": torch.cat(samples), "calls": torch.cat(calls)}, folder / "cases.safetensors")
lines = ",\n".join(json.dumps(record, separators=(",", ":")) for record in records)
(folder / "cases.json").write_text(f"[\n{lines}\n]\n")
print(len(records), "cases,", sum(record["result"] is None for record in records), "of them not finite")
