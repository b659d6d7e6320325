"""Pictures that a server of x0 makes, over HTTP."""

import http.client
import itertools
import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import items

# What of the environment the server shall see.
KEPT = ("X0_ISA", "X0_THREADS")


class Server:
    """A server on a port of its own choice. Its model is loaded by the first picture."""

    def __init__(self, command, model):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("X0_") or name in KEPT}
        self.model, self.numbers = model, itertools.count()
        self.process = subprocess.Popen([*command, "--listen", "127.0.0.1:0", "--log", "warn"], stdout=subprocess.PIPE, text=True, env=environment)
        line = next((line for line in self.process.stdout if line.startswith("listening on ")), None)
        if line is None:
            raise RuntimeError(f"{command[:2]} ended: {self.process.wait()}")
        self.address = line.split("//")[1].strip()

    def ask(self, accept, **more):
        """Makes a picture of a text that was not asked for before, and returns the answer's bytes."""
        number = next(self.numbers)
        body = {"model": self.model, "prompt": f"a red apple, number {number}", "seed": number, "steps": items.STEPS,
                "guidance_scale": items.GUIDANCE, "sampler": items.SAMPLER, **more}
        connection = http.client.HTTPConnection(self.address)
        connection.request("POST", "/v1/generations", json.dumps(body), {"accept": accept})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"the server answers {answer.status}: {content[:500].decode(errors='replace')}")
        return content

    def pictures(self, at_once, each=1):
        """The seconds in which so many clients get so many pictures each, one after the other, as JPEG."""
        start = time.perf_counter()
        with ThreadPoolExecutor(at_once) as clients:
            list(clients.map(lambda _: [self.ask("image/jpeg") for _ in range(each)], range(at_once)))
        return time.perf_counter() - start

    def events(self, **more):
        """The seconds until the last event of a picture, and how many of the events were previews."""
        start = time.perf_counter()
        events = self.ask("text/event-stream", **more)
        return time.perf_counter() - start, events.count(b"event: preview\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
