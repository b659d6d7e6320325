"""The README's examples of clients do what they say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

CLIENTS = Path(__file__).resolve().parents[1]
README = CLIENTS.parents[1] / "README.md"

SECTION = README.read_text().split("\n## Clients that already exist\n")[1].split("\n## ")[0]
EXAMPLES = re.findall(r"```(python|js)\n(.*?)```", SECTION, re.DOTALL)
NAMES = [re.search(r"(?:from|import) \"?([\w@/.-]+)", example).group(1) for _, example in EXAMPLES]


@pytest.mark.parametrize(("language", "example"), EXAMPLES, ids=NAMES)
def test_example(language, example, url, tmp_path):
    example = example.replace("http://127.0.0.1:8000", url)
    if language == "python":
        command, folder = [sys.executable, "-c", example], tmp_path
    else:
        # node looks for packages from its working directory on.
        command, folder = ["node", "--input-type=module", "--eval", example], CLIENTS
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout or list(tmp_path.iterdir()), "something is to be seen"
