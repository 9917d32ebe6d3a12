"""What a machine may lack: a home, a place for temporary files, handles; and a folder with ten thousand files."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from astlib import AST, ASTConfig
from astlib.answers import find_sounds
from astlib.data import Folder

ROOT = Path(__file__).resolve().parents[2]
BAD = ("clip 7.wav", "clip 60.wav")
# A process with less than it is used to. `resource` is set inside, so that nothing else on the machine notices.
POOR = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
sys.argv = ["astlib", *sys.argv[1:]]
from astlib.cli import main
main()
"""


@pytest.fixture(scope="module")
def poor(tmp_path_factory):
    """`astlib predict` on 100 files, 2 of them bad: no home, nothing for temporary files, 64 handles, 1 MB a file."""
    folder = tmp_path_factory.mktemp("poor")
    (folder / "sounds").mkdir()
    AST(ASTConfig(label_dim=2, model_size="tiny224", fstride=16, tstride=16, input_tdim=32)).save_pretrained(folder)
    for i in range(100):
        soundfile.write(folder / "sounds" / f"clip {i}.wav", np.full(4000, 0.1), 16_000)
    for name in BAD:
        (folder / "sounds" / name).write_bytes(b"RIFF")
    nowhere = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR"), "/nonexistent")
    return subprocess.run(
        [sys.executable, "-c", POOR, "predict", "--model", str(folder), str(folder / "sounds")],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
        env={"PATH": "", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **nowhere},
    )


def test_a_user_without_a_home(poor):
    assert "Traceback" not in poor.stderr and "/nonexistent" not in poor.stderr


def test_all_good_files_are_answered_and_the_bad_ones_named(poor):
    assert poor.stdout.count("clip ") == 98
    for name in BAD:
        assert name in poor.stderr and name not in poor.stdout


def test_the_exit_status_says_that_some_failed(poor):
    assert poor.returncode == 1


def test_files_are_closed_one_after_the_other(poor):
    """98 answers with room for 64 open files."""
    assert "Too many open files" not in poor.stderr and poor.stdout.count("clip ") == 98


def test_a_folder_of_ten_thousand_files(tmp_path):
    for kind in ("dog", "cat"):
        (tmp_path / kind).mkdir()
        for i in range(5000):
            (tmp_path / kind / f"{i}.wav").touch()
    train, test = Folder(tmp_path), Folder(tmp_path, split="test")
    assert len(train) + len(test) == 10_000 and len(find_sounds([tmp_path]).files) == 10_000


def test_classes_whose_names_differ_in_their_case(tmp_path):
    """Two classes where the file system tells them apart; one folder where it does not."""
    for kind in ("dog", "Dog"):
        (tmp_path / kind).mkdir(exist_ok=True)
        for i in range(2):
            (tmp_path / kind / f"{i}.wav").touch()
    assert Folder(tmp_path, split="all").labels == sorted(path.name for path in tmp_path.iterdir())


def test_links_in_a_folder(tmp_path):
    """A link to a sound is a sound; one that leads nowhere, or to a pipe, is left out."""
    for kind in ("dog", "cat"):
        (tmp_path / kind).mkdir()
        for i in range(2):
            soundfile.write(tmp_path / kind / f"{i}.wav", np.full(999, 0.1), 16_000)
    (tmp_path / "dog" / "linked.wav").symlink_to(tmp_path / "cat" / "0.wav")
    (tmp_path / "dog" / "nowhere.wav").symlink_to(tmp_path / "nothing")
    found = Folder(tmp_path, split="all")
    report = found.check(progress=False)
    assert "dog/linked.wav" in found.names and set(report.problems) <= {"dog/nowhere.wav"}


def test_a_clock_that_goes_back_changes_no_duration():
    """Durations are measured by clocks that only go forward; the time of day is written down and never subtracted."""
    calls = re.compile(r"\btime\.time\(|datetime\.now\([^)]*\)\s*-|utcnow\(")
    wrong = {path.name for path in (ROOT / "astlib").rglob("*.py") if calls.search(path.read_text(encoding="utf-8"))}
    assert wrong == set()
