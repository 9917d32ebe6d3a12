"""What a person is told before time is spent: a note for each thing that would spoil the run, none for good data."""

import numpy as np
import pytest
import soundfile

from astlib.data import Folder, Note, Synthetic, notes_of, parts
from astlib.data.notes import class_notes, listen, sound_notes

RATE = 48_000
TIME = np.arange(RATE) / RATE
TONE = 0.3 * np.sin(2 * np.pi * 440 * TIME)


def write(path, samples, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)
    return path


@pytest.mark.parametrize(
    ("samples", "noticed"),
    [
        (TONE, ""),
        (np.stack([TONE, 0.5 * TONE], axis=1), ""),
        (0.001 * TONE, ""),  # quiet is not silent
        (0.3 * np.sin(2 * np.pi * 14_000 * TIME), "high"),
        (0.3 * np.sin(2 * np.pi * 14_000 * TIME) + TONE + 0.1, ""),  # half of it, and an offset is no sound
        (np.stack([TONE, -TONE], axis=1), "opposite"),
        (np.zeros(RATE), "silent"),
        (np.zeros((RATE, 2)), "silent"),
        (np.append(TONE[:2000], np.zeros(10 * RATE)), "silent"),
        (np.append(np.zeros(RATE), TONE), ""),
        (TONE[:1199], "short"),
        (TONE[:1200], ""),
    ],
)
def test_what_is_heard(tmp_path, samples, noticed):
    heard = listen(write(tmp_path / "a.wav", samples))
    assert {name for name, value in heard._asdict().items() if value} == ({noticed} if noticed else set())


def test_what_cannot_be_read_is_not_heard(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    assert listen(tmp_path / "a.wav") is None and listen(tmp_path / "none.wav") is None
    assert listen(write(tmp_path / "b.wav", np.zeros(0))) is None


def test_a_folder_of_bats(tmp_path):
    for i in range(6):
        write(tmp_path / "bat" / f"{i}.wav", 0.3 * np.sin(2 * np.pi * (20_000 + 100 * i) * TIME))
        write(tmp_path / "bird" / f"{i}.wav", TONE[: 10_000 + i])
    (note,) = sound_notes(Folder(tmp_path, split="all"))
    beginning = "Most of the power above 8 kHz: 6 of 12 clips listened to, such as bat/0.wav. It is lost"
    assert note.kind == "high" and str(note).startswith(beginning)
    assert [note.kind for note in notes_of(parts("folder", root=tmp_path))] == ["high"]


def test_few_clips_of_a_large_folder_are_listened_to(tmp_path, monkeypatch):
    for i in range(30):
        write(tmp_path / "ab"[i % 2] / f"{i:02}.wav", TONE[:100])
    listened = []
    monkeypatch.setattr("astlib.data.notes.listen", lambda path: listened.append(path))
    assert sound_notes(Folder(tmp_path, split="all"), most=7) == [] and len(listened) == 7
    assert {path.parent.name for path in listened} == {"a", "b"}


def test_classes_that_are_rare_missing_or_alone(tmp_path):
    lines = [f"{i}.wav,{'rare' if i in (0, 7) else 'often'},{1 + i % 2}" for i in range(40)]
    lines += ["40.wav,new,1", "41.wav,lost,2"]
    for i in range(42):
        write(tmp_path / f"{i}.wav", TONE[:2400])
    (tmp_path / "list.csv").write_text("file,label,fold\n" + "\n".join(lines))
    notes = {note.kind: note.text for note in notes_of(parts("folder", 1, root=tmp_path))}
    assert set(notes) == {"not trained", "not tested", "uneven"}
    assert notes["not trained"].startswith("No clip for training has the label new")
    assert notes["not tested"].startswith("No clip for testing has the label lost")
    assert notes["uneven"].startswith("The largest class has 19 clips for training, the rare ones few (lost 1, rare 1)")


def test_everything_in_one_class(tmp_path):
    for i in range(5):
        write(tmp_path / "audio" / f"{i}.wav", TONE[:2400])
    assert [note.kind for note in notes_of(parts("folder", root=tmp_path))] == ["one class"]


def test_what_was_read_comes_first(tmp_path):
    for i in range(6):
        write(tmp_path / "ab"[i % 2] / f"{i}.wav", np.zeros(2400))
    (tmp_path / "a" / "who.txt").touch()
    notes = notes_of(parts("folder", root=tmp_path))
    assert notes[0] == Note("reading", "Files left out because they are no sound: 1 (.txt).")
    assert [note.kind for note in notes] == ["reading", "silent"]


def test_good_data_has_no_notes(esc50_root):
    assert notes_of(parts("synthetic")) == [] and notes_of(parts("esc50", root=esc50_root)) == []
    train, test = Synthetic(1), Synthetic(1, "test")
    assert not class_notes(train, test)


def test_few_real_clips_are_noticed(esc50_root, tmp_path):
    """Some of ESC-50's clips are mostly silent, which is true; next to none has its power above 8 kHz."""
    for path in sorted((esc50_root / "audio").iterdir())[::40]:
        place = tmp_path / path.stem.split("-")[-1] / path.name
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(path)
    heard = [listen(path) for path in tmp_path.rglob("*.ogg")]
    assert len(heard) == 50 and not any(found.high or found.opposite or found.short for found in heard)
    assert sum(found.silent for found in heard) < 10
