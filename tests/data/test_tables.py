"""Lists as people have them, in the layouts of public data sets and in whatever a spreadsheet writes."""

import json

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from astlib.data import Folder
from astlib.data.splits import part_named
from astlib.data.tables import is_list, read_list
from astlib.errors import InvalidInput


def put(root, *names):
    """Sound files of 50 ms, each of its own."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, [len(name) / 100] * 800, 16_000)
    return root


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def labels_of(clips):
    return {clip.name: clip.labels for clip in clips}


def test_urbansound8k_as_it_is(tmp_path):
    root = put(tmp_path, "audio/fold1/100-3-0-0.wav", "audio/fold1/200-0-0-0.wav", "audio/fold10/300-3-0-0.wav")
    table = write(
        root / "metadata" / "UrbanSound8K.csv",
        "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
        "100-3-0-0.wav,100,0.0,0.3,1,1,3,dog_bark\n"
        "200-0-0-0.wav,200,1.0,2.3,1,1,0,air_conditioner\n"
        "300-3-0-0.wav,300,0.0,0.3,2,10,3,dog_bark\n",
    )
    for place in (root, table):
        test = Folder(place, 10, "test")
        assert test.names == ["300-3-0-0.wav"] and test.labels == ["air_conditioner", "dog_bark"]
        assert Folder(place, 1, "test").sources[0] == (root / "audio" / "fold1" / "100-3-0-0.wav").resolve()
        assert not test.report.problems and not test.report.notes


def test_fsd50k_as_it_is(tmp_path):
    root = put(tmp_path, "FSD50K.dev_audio/64760.wav", "FSD50K.dev_audio/16399.wav", "FSD50K.eval_audio/1.wav")
    table = write(
        root / "FSD50K.ground_truth" / "dev.csv",
        'fname,labels,mids,split\n64760,"Electric_guitar,Guitar",/m/a,train\n16399,Guitar,/m/b,val\n',
    )
    train, test = Folder(table), Folder(table, split="test")
    assert train.multi_label and train.names == ["64760"] and train.labels == ["Electric_guitar", "Guitar"]
    assert test.names == ["16399"] and "no test part, so the validation part is for testing" in str(test.report)
    assert train.waveform(0).shape == (800,)


def test_the_originals_json(tmp_path):
    root = put(tmp_path, "audio_16k/1-1-A-0.wav", "audio_16k/1-2-A-1.wav")
    entries = [
        {"wav": "/data/sls/scratch/esc/audio_16k/1-1-A-0.wav", "labels": "/m/07rwj00"},
        {"wav": "/data/sls/scratch/esc/audio_16k/1-2-A-1.wav", "labels": "/m/07rwj01,/m/07rwj00"},
    ]
    table = write(root / "train.json", json.dumps({"data": entries}))
    assert {clip.path for clip in read_list(table).clips} == set(root.glob("audio_16k/*"))
    assert Folder(table, split="all").labels == ["/m/07rwj00", "/m/07rwj01"]
    write(root / "class_labels_indices.csv", 'index,mid,display_name\n0,/m/07rwj00,"Dog"\n1,/m/07rwj01,"Hum, low"\n')
    assert list(labels_of(read_list(table).clips).values()) == [("Dog",), ("Hum, low", "Dog")]
    assert labels_of(read_list(write(root / "b.json", '[{"file": "1.wav", "label": ["a", "b"]}]')).clips) == {
        "1.wav": ("a", "b")
    }
    for text, message in (("{", "is not valid JSON"), ('{"a": 1}', "must hold a list of objects"), ("[]", "nothing")):
        with pytest.raises(InvalidInput, match=message):
            read_list(write(root / "bad.json", text))


def test_a_list_that_cannot_be_understood_is_not_printed(tmp_path):
    entries = [{f"key {i}": "x" * 100 for i in range(50)}] * 100
    with pytest.raises(InvalidInput) as error:
        read_list(write(tmp_path / "train.json", json.dumps({"data": entries})))
    assert len(str(error.value)) < 600 and "and 42 more" in str(error.value)


@given(
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    comma=st.sampled_from(",;\t"),
    file=st.sampled_from(["file", "File Name", "audio_path", "wav", "slice_file_name", "FILENAME"]),
    label=st.sampled_from(["label", "Class", "category", "class_name", "target"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_every_spelling_is_the_same_list(tmp_path_factory, encoding, comma, file, label, end):
    path = tmp_path_factory.getbasetemp() / "spelled.csv"
    lines = [comma.join(line) for line in ((file, "who", label), ("1.wav", "me", "Müll"), ("2.wav", "me", "dog"))]
    write(path, end.join(lines), encoding)
    found = read_list(path)
    assert is_list(path) and labels_of(found.clips) == {"1.wav": ("Müll",), "2.wav": ("dog",)}
    assert found.clips[0].columns == {file: "1.wav", "who": "me", label: "Müll"}
    assert bool(found.notes) == (encoding == "cp1252"), "a guess is pointed out"


def test_the_label_is_not_the_number_beside_it(tmp_path):
    """ESC-50's own list has both `target` and `category`."""
    path = write(tmp_path / "esc50.csv", "filename,fold,target,category\n1.wav,1,0,dog\n2.wav,2,1,cat\n")
    assert labels_of(read_list(path).clips) == {"1.wav": ("dog",), "2.wav": ("cat",)}


@pytest.mark.parametrize("lines", ["1.wav,dog\n2.wav,cat\n", "dog;1.wav\ncat;2.wav\n"])
def test_two_columns_need_no_header(tmp_path, lines):
    assert labels_of(read_list(write(tmp_path / "list.csv", lines)).clips) == {"1.wav": ("dog",), "2.wav": ("cat",)}


def test_a_column_of_zeros_and_ones_for_each_class(tmp_path):
    root = put(tmp_path, "1.wav", "2.wav", "3.wav", "4.wav")
    lines = "file,length,dog,rain,fold\n1.wav,5,1,0,1\n2.wav,3,1,1,1\n3.wav,3,0.0,0,2\n4.wav,2,0,1.0,2\n"
    dataset = Folder(write(root / "list.csv", lines), split="all")
    assert dataset.labels == ["dog", "rain"] and dataset.multi_label
    assert dataset.targets.tolist() == [[1, 0], [1, 1], [0, 0], [0, 1]] and dataset.folds == [1, 1, 2, 2]
    write(root / "list.csv", lines.replace("fold", "who"))  # dealt into folds, the clip without a class too
    assert len(Folder(root, split="all")) == 4
    one = write(root / "one.csv", "file,dog\n1.wav,1\n2.wav,0\n")
    with pytest.raises(InvalidInput, match="must have the columns file and labels"):
        read_list(one)


def test_folds_from_0_become_folds_from_1(tmp_path):
    path = write(tmp_path / "list.csv", "file,label,fold\n1.wav,a,0\n2.wav,a,fold1\n3.wav,a,2.0\n")
    found = read_list(path)
    assert [clip.part for clip in found.clips] == [1, 2, 3]
    assert found.notes == ["The folds of list.csv are numbered from 0; here they are 1 to 3."]


def test_a_subset_counts_if_it_names_parts(tmp_path):
    path = write(tmp_path / "list.csv", "file,label,subset\n1.wav,a,train\n2.wav,a,dev\n")
    assert [clip.part for clip in read_list(path).clips] == ["train", "validation"]
    write(path, "file,label,subset\n1.wav,a,train\n2.wav,a,loud\n")
    assert [clip.part for clip in read_list(path).clips] == [None, None]


def test_where_files_are_looked_for(tmp_path):
    root = put(tmp_path / "set", "audio/a.wav", "b.wav", "dog/c.wav", "dog/same.wav", "cat/same.wav", "cat/.d.wav")
    names = ["a.wav", "b", "c", "same.wav", "./elsewhere/b.wav", r"C:\sounds\dog\c.wav", "cat/c.wav", "d"]
    path = write(root / "list.csv", "file,label\n" + "\n".join(f"{name},x" for name in names))
    found = {clip.name: clip.path for clip in read_list(path).clips}
    there = ["audio/a.wav", "b.wav", "dog/c.wav", None, "b.wav", "dog/c.wav", None, None]
    for name, place in zip(found, there, strict=True):
        assert found[name].is_file() == (place is not None), name
        assert place is None or found[name].samefile(root / place)


def test_files_that_were_converted_keep_their_line(tmp_path):
    root = put(tmp_path, "a.flac", "sub/b.ogg", "c.wav", "c.flac")
    path = write(root / "list.csv", "file,label\na.m4a,x\nsub/b.wav,x\nc.m4a,x\n")
    found = [clip.path for clip in read_list(path).clips]
    assert found == [root / "a.flac", root / "sub" / "b.ogg", root / "c.m4a"], "c has two successors"


def test_a_table_of_something_else_does_not_block_the_folders(tmp_path):
    root = put(tmp_path, "dog/1.wav", "dog/2.wav", "cat/1.wav", "cat/2.wav")
    write(root / "notes.csv", "Tag,Gerät\nMontag,Müllauto\n", "cp1252")
    (root / "broken.csv").write_bytes(bytes(range(256)))
    assert Folder(root, split="all").labels == ["cat", "dog"]
    (root / "new").mkdir()
    alone = put(root / "new", "1.wav")
    (alone / "list.csv").write_bytes(bytes(range(256)))
    with pytest.raises(InvalidInput, match=r"list\.csv is not a CSV: it is no text"):
        Folder(alone)


def test_names_of_parts():
    named = {name: part_named(name) for name in ("Train", "training", " dev ", "valid", "eval", "TEST", "tests", "")}
    assert list(named.values()) == ["train", "train", "validation", "validation", "test", "test", None, None]
