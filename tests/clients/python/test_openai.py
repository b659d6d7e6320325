"""openai"""

import asyncio
import base64
import io
import urllib.request

import openai
import pytest
from PIL import Image


@pytest.fixture
def client(url):
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def test_models_are_listed(client):
    assert "fashion" in [model.id for model in client.models.list()]
    assert client.models.retrieve("fashion").object == "model"


def test_a_class_is_a_prompt(client, native):
    answer = client.images.generate(model="fashion", prompt="sneaker", extra_body={"seed": 7})
    file = base64.b64decode(answer.data[0].b64_json)
    assert file == native.picture(model="fashion", class_label="sneaker", seed=7)
    assert Image.open(io.BytesIO(file)).size == (28, 28)
    assert (answer.size, answer.output_format, answer.background) == ("28x28", "png", "opaque")
    assert native.record(answer.generation_id)["request"]["class_label"] == "sneaker"


def test_pictures_can_be_fetched(client):
    answer = client.images.generate(model="fashion", prompt="bag", n=2, size="28x28", response_format="url", output_format="jpeg")
    assert [data.b64_json for data in answer.data] == [None, None]
    for data in answer.data:
        with urllib.request.urlopen(data.url) as file:
            assert Image.open(io.BytesIO(file.read())).format == "JPEG"


def test_a_stream_shows_the_picture_form(client, native):
    stream = client.images.generate(model="fashion", prompt="coat", stream=True, partial_images=3, extra_body={"seed": 7})
    *partial, completed = list(stream)
    assert [event.type for event in partial] == ["image_generation.partial_image"] * 3
    assert [event.partial_image_index for event in partial] == [0, 1, 2]
    assert completed.type == "image_generation.completed"
    steps = [event.step for event in partial]
    sigmas = [event.sigma for event in partial]
    assert steps == sorted(steps) and sigmas == sorted(sigmas, reverse=True)
    file = base64.b64decode(completed.b64_json)
    assert file == native.picture(model="fashion", class_label="coat", seed=7)

    def levels(file):
        return Image.open(io.BytesIO(file)).convert("L").tobytes()

    def distance(event):
        pairs = zip(levels(base64.b64decode(event.b64_json)), levels(file))
        return sum(abs(a - b) for a, b in pairs)

    distances = [distance(event) for event in partial]
    assert distances[2] < distances[0], f"predictions come nearer to the picture: {distances}"


def test_a_picture_is_made_anew_where_the_mask_is_transparent(client, native, picture, masks):
    transparent, white = [("mask.png", mask, "image/png") for mask in masks]
    extra = {"seed": 7, "steps": 4, "strength": 0.75, "guidance_scale": 5.0}
    start = ("start.png", picture, "image/png")
    edited = client.images.edit(model="sd15", image=start, mask=transparent, prompt="a red ball", extra_body=extra)
    fields = {"init_image": base64.b64encode(picture).decode(), "prompt": "a red ball", "model": "sd15", **extra}
    mask = base64.b64encode(white[1]).decode()
    assert base64.b64decode(edited.data[0].b64_json) == native.picture(**fields, mask_image=mask)

    whole = client.images.edit(model="sd15", image=[start], prompt="a red ball", extra_body=extra, stream=True, partial_images=1)
    partial, completed = list(whole)
    assert (partial.type, completed.type) == ("image_edit.partial_image", "image_edit.completed")
    assert base64.b64decode(completed.b64_json) == native.picture(**fields)


def test_an_abandoned_stream_is_cancelled(client, native):
    long = {"steps": 1000, "n": 4}
    with client.images.generate(model="fashion", prompt="dress", stream=True, partial_images=3, extra_body=long) as stream:
        generation_id = next(iter(stream)).generation_id
    assert native.end(generation_id) == "cancelled"


def test_errors_have_their_classes(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.images.generate(model="fashion", prompt="hovercraft")
    assert (error.value.param, error.value.code, error.value.type) == ("prompt", "unsupported_value", "invalid_request_error")
    assert "hovercraft" in error.value.message and error.value.request_id
    with pytest.raises(openai.BadRequestError, match="background"):
        client.images.generate(model="fashion", prompt="bag", background="transparent")
    with pytest.raises(openai.NotFoundError) as error:
        client.images.generate(model="dall-e-3", prompt="bag")
    assert error.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("dall-e-3")


def test_a_failure_ends_the_stream_with_an_error(client):
    late = {"steps": 1000, "n": 8, "deadline_seconds": 1}
    with pytest.raises(openai.APIError) as error:
        list(client.images.generate(model="fashion", prompt="shirt", stream=True, extra_body=late))
    assert (error.value.code, error.value.type) == ("deadline_exceeded", "server_error")


def test_a_key_makes_a_retry_harmless(client):
    def generate():
        key = {"Idempotency-Key": "a picture of a bag"}
        return client.images.generate(model="fashion", prompt="bag", extra_headers=key)

    assert generate().generation_id == generate().generation_id


def test_many_at_once(url):
    async def generate(client, seed):
        answer = await client.images.generate(model="fashion", prompt="bag", extra_body={"seed": seed, "steps": 5})
        return answer.data[0].b64_json

    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            return await asyncio.gather(*[generate(client, seed) for seed in range(8)])

    assert len(set(asyncio.run(all_of_them()))) == 8
