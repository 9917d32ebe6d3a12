"""Embed the made hours of chapter 19 with the embedded encoder, into results/hours. Five minutes on one core.

    python ci/hours.py

It is to be run again when that encoder changes; tests/data/test_hours.py says so.
"""

import json
import shutil
import tempfile
from pathlib import Path

import soundfile

from astlib import paths
from astlib.data.hours import Hour
from astlib.embeddings import ENCODER, embed
from astlib.encoders import open_encoder
from astlib.files import write_json

HOURS = 5
NAME = "ast-tiny-esc50"


def main() -> None:
    """Make the hours, embed them window by window without overlap, and keep the features."""
    encoder, out = open_encoder(NAME), paths.results() / "hours"
    with tempfile.TemporaryDirectory() as folder:
        sounds, features = Path(folder) / "sounds", Path(folder) / "features"
        sounds.mkdir()
        for number in range(1, HOURS + 1):
            soundfile.write(sounds / f"hour{number}.flac", Hour(number).sound().numpy(), 16_000)
        print(embed(encoder, sounds, features, hop=encoder.seconds))
        plan = json.loads((features / ENCODER).read_text(encoding="utf-8"))
        write_json(features / ENCODER, plan | {"root": ""})  # the sounds are made, not kept
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(features, out, ignore=shutil.ignore_patterns(".*"))


if __name__ == "__main__":
    main()
