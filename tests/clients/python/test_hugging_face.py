"""huggingface_hub"""

import base64
import io

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from PIL import Image


def pixels(file: bytes) -> bytes:
    return Image.open(io.BytesIO(file)).convert("RGB").tobytes()


def test_text_to_image(url, native):
    client = InferenceClient(model=f"{url}/hf/fashion")
    image = client.text_to_image("sneaker", seed=7, num_inference_steps=10, scheduler="EulerDiscreteScheduler")
    expected = native.picture(model="fashion", class_label="sneaker", seed=7, steps=10, sampler="euler")
    assert image.convert("RGB").tobytes() == pixels(expected)
    image = client.text_to_image("", seed=7, width=28, height=28, extra_body={"class_label": 8, "guidance_scale": 3.0})
    assert image.convert("RGB").tobytes() == pixels(native.picture(model="fashion", class_label=8, seed=7, guidance_scale=3.0))


def test_image_to_image(url, native, picture):
    client = InferenceClient(model=f"{url}/hf/sd15")
    image = client.image_to_image(picture, prompt="a red ball", num_inference_steps=4, guidance_scale=5.0, seed=7, strength=0.75)
    start = base64.b64encode(picture).decode()
    fields = {"model": "sd15", "prompt": "a red ball", "steps": 4, "guidance_scale": 5.0, "seed": 7}
    assert image.convert("RGB").tobytes() == pixels(native.picture(init_image=start, strength=0.75, **fields))
    assert client.image_to_image(picture).size == (64, 64)


def test_errors_say_what_is_wrong(url):
    with pytest.raises(HfHubHTTPError, match="hovercraft") as error:
        InferenceClient(model=f"{url}/hf/fashion").text_to_image("hovercraft")
    assert error.value.response.status_code == 422
    with pytest.raises(HfHubHTTPError, match="parameters.num_inference_steps: 0 is less than 1"):
        InferenceClient(model=f"{url}/hf/fashion").text_to_image("bag", num_inference_steps=0)
    with pytest.raises(HfHubHTTPError, match="no model"):
        InferenceClient(model=f"{url}/hf/nobody").text_to_image("bag")


def test_who_goes_away_cancels(url, native):
    client = InferenceClient(model=f"{url}/hf/fashion", timeout=1.5)
    with pytest.raises(Exception, match="(?i)time"):
        client.text_to_image("bag", num_inference_steps=1000, extra_body={"guidance_scale": 3.0})
    assert native.end(native.last_id()) == "cancelled"
