"""webuiapi, for AUTOMATIC1111's API"""

import io
import threading
from urllib.parse import urlsplit

import pytest
import webuiapi
from PIL import Image, ImageDraw


@pytest.fixture
def api(url):
    server = urlsplit(url)
    api = webuiapi.WebUIApi(host=server.hostname, port=server.port, sampler="Euler a", steps=4)
    options = api.get_options()
    api.set_options({"sd_model_checkpoint": "sd15"})
    yield api
    api.set_options({"sd_model_checkpoint": options["sd_model_checkpoint"]})


def pixels(file: bytes) -> bytes:
    return Image.open(io.BytesIO(file)).convert("RGB").tobytes()


NATIVE = {"model": "sd15", "steps": 4, "guidance_scale": 7.0, "sampler": "euler_ancestral", "timestep_spacing": "linspace",
          "noise_source": "philox", "prompt_syntax": "a1111", "width": 64, "height": 64}


def test_text_to_image(api, native):
    result = api.txt2img(prompt="a red house", seed=7, width=64, height=64)
    assert result.image.tobytes() == pixels(native.picture(prompt="a red house", seed=7, **NATIVE))
    assert (result.info["seed"], result.info["sampler_name"], result.info["sd_model_name"]) == (7, "Euler a", "sd15")
    several = api.txt2img(prompt="a red house", seed=7, width=64, height=64, batch_size=2, n_iter=2)
    assert several.info["all_seeds"] == [7, 8, 9, 10] and len(several.images) == 4
    varied = api.txt2img(prompt="a red house", seed=7, subseed=3, subseed_strength=0.4, width=64, height=64)
    assert varied.info["subseed"] == 3 and varied.image.tobytes() != result.image.tobytes()


def test_highres_fix(api, native):
    result = api.txt2img(
        prompt="a red house", seed=7, width=64, height=64, enable_hr=True, hr_scale=1.5, denoising_strength=0.6,
        hr_upscaler=webuiapi.HiResUpscaler.Latent, hr_second_pass_steps=3,
    )
    assert result.image.size == (96, 96)
    highres = {"scale": 1.5, "strength": 0.6, "steps": 3}
    assert result.image.tobytes() == pixels(native.picture(prompt="a red house", seed=7, highres=highres, **NATIVE))


def test_image_to_image_and_inpainting(api, picture):
    start = Image.open(io.BytesIO(picture)).convert("RGB")
    result = api.img2img(images=[start], prompt="a red house", seed=7, width=64, height=64, denoising_strength=0.5)
    assert result.image.size == (64, 64)
    mask = Image.new("RGB", start.size)
    ImageDraw.Draw(mask).rectangle((16, 16, 40, 40), fill="white")
    for full in [True, False]:
        inpainted = api.img2img(
            images=[start], mask_image=mask, prompt="a red house", seed=7, width=64, height=64, mask_blur=0, inpaint_full_res=full,
        ).image
        kept = [(x, y) for x in range(0, 64, 3) for y in range(0, 64, 3) if not (16 <= x <= 40 and 16 <= y <= 40)]
        assert all(inpainted.getpixel(place) == start.getpixel(place) for place in kept)
        assert inpainted.crop((16, 16, 41, 41)).tobytes() != start.crop((16, 16, 41, 41)).tobytes()


def test_progress_and_interrupt(api):
    api.util_wait_for_ready(check_interval=0.1)
    answers = []
    long = threading.Thread(target=lambda: answers.append(api.txt2img(prompt="a", width=64, height=64, steps=1000, seed=1)))
    long.start()
    while (progress := api.get_progress())["state"]["sampling_step"] < 20:
        assert long.is_alive()
    assert 0 < progress["progress"] < 1 and progress["state"]["sampling_steps"] == 1000
    assert api.get_progress()["current_image"]
    api.interrupt()
    long.join(60)
    assert answers[0].images == []
    api.util_wait_for_ready(check_interval=0.1)


def test_options_and_lists(api):
    assert api.util_get_current_model() == "sd15"
    api.util_set_model("fashion")
    assert api.util_get_current_model() == "fashion"
    assert api.txt2img(prompt="sneaker", width=28, height=28, seed=3).info["sd_model_name"] == "fashion"
    assert {"Euler a", "DPM++ 2M", "DDIM"} <= set(api.util_get_sampler_names())
    assert "karras" in api.util_get_scheduler_names()
    assert "sd15" in api.util_get_model_names()
    assert [mode["name"] for mode in api.get_latent_upscale_modes()][0] == "Latent"
    assert api.get_loras() == [] and api.get_embeddings() == {"loaded": {}, "skipped": {}}
    assert api.skip() == {} and api.refresh_checkpoints() == {}
    assert api.get_memory()["ram"]["total"] > 0


def test_png_info(api):
    result = api.txt2img(prompt="a röd hus", negative_prompt="rain", seed=7, width=64, height=64)
    info = api.png_info(result.image)
    assert info.info == result.info["infotexts"][0]
    assert info.info.startswith("a röd hus\nNegative prompt: rain\nSteps: 4, Sampler: Euler a")
    assert (info.parameters["Seed"], info.parameters["Size-1"]) == ("7", "64")


def test_errors_say_what_is_wrong(api):
    with pytest.raises(RuntimeError, match="sampler_name: no such sampler"):
        api.txt2img(prompt="a", sampler_name="Restart", width=64, height=64)
    with pytest.raises(RuntimeError, match="restore_faces") as error:
        api.txt2img(prompt="a", restore_faces=True, width=64, height=64)
    assert error.value.args[0] == 422
