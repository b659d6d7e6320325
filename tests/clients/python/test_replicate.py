"""replicate"""

import io
import urllib.request

import pytest
from PIL import Image
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError


@pytest.fixture
def client(url):
    return Client(api_token="none", base_url=url)


def fetched(address: str) -> bytes:
    with urllib.request.urlopen(address) as file:
        return file.read()


@pytest.mark.parametrize("model", ["x0/fashion", "x0/fashion:fashion"])
def test_run(client, native, model):
    output = list(client.run(model, input={"prompt": "sneaker", "seed": 7, "num_outputs": 2, "num_inference_steps": 10}))
    assert len(output) == 2
    assert fetched(output[0]) == native.picture(model="fashion", class_label="sneaker", seed=7, steps=10)


def test_a_prediction_is_asked_for_until_it_is_finished(client, native):
    prediction = client.predictions.create(version="fashion", input={"prompt": "coat", "output_format": "jpg"})
    assert prediction.status in ["starting", "processing", "succeeded"]
    prediction.wait()
    assert prediction.status == "succeeded" and prediction.metrics["predict_time"] > 0
    assert Image.open(io.BytesIO(fetched(prediction.output[0]))).format == "JPEG"
    assert prediction.progress.percentage == 1.0
    assert native.record(prediction.id)["state"] == "succeeded"
    assert client.predictions.get(prediction.id).id == prediction.id
    assert prediction.id in [other.id for other in client.predictions.list()]


def test_a_picture_to_start_from(client, picture, masks):
    files = {"image": io.BytesIO(picture), "mask": io.BytesIO(masks[1])}
    inputs = {"prompt": "a red ball", "num_inference_steps": 4, "prompt_strength": 0.75, "scheduler": "K_EULER", **files}
    output = client.run("x0/sd15", input=inputs, file_encoding_strategy="base64")
    assert Image.open(io.BytesIO(fetched(output[0]))).size == (64, 64)


def test_cancel(client, native):
    prediction = client.predictions.create(version="fashion", input={"prompt": "coat", "n": 8, "steps": 1000})
    prediction.cancel()
    assert native.end(prediction.id) == "cancelled"
    prediction.reload()
    assert prediction.status == "canceled"


def test_models_are_looked_up(client):
    model = client.models.get("x0/fashion")
    assert model.latest_version.id == "fashion"
    assert model.versions.get("fashion").openapi_schema["components"]["schemas"]["Output"]["type"] == "array"


def test_errors(client):
    with pytest.raises(ReplicateError, match="hovercraft") as error:
        client.run("x0/fashion", input={"prompt": "hovercraft"})
    assert error.value.status == 422
    with pytest.raises(ReplicateError, match="no model"):
        client.run("stability-ai/sdxl", input={"prompt": "bag"})
    with pytest.raises(ModelError, match="deadline_exceeded"):
        client.run("x0/fashion", input={"prompt": "bag", "n": 8, "steps": 1000, "deadline_seconds": 1})
