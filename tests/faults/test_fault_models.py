"""Configurations and weights that somebody else wrote: every value is checked before memory is taken."""

import json
import struct
from dataclasses import asdict

import pytest
import torch

import astlib
from astlib.cnn import CNNConfig
from astlib.errors import InvalidInput
from astlib.networks import build, open_model

AST = astlib.ASTConfig(
    label_dim=3, fstride=16, tstride=16, input_fdim=32, input_tdim=48, model_size="tiny224", labels=tuple("xyz")
)
CNN = CNNConfig("cnn-mlp", label_dim=3, input_fdim=32, input_tdim=48, labels=tuple("xyz"))
WHOLE = ("label_dim", "input_fdim", "input_tdim", "fstride", "tstride", "prefix_tokens")
NO_WHOLE_NUMBER = ("5", 5.5, 1e30, 10**30, None, [], [1], {}, True, -1, 0, 10**9, float("nan"))
NO_NUMBER = ("5", None, [], [1], {}, True, float("nan"), float("inf"), 10**400, 1e30)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A saved network of each kind, and its configuration."""
    found = {}
    for name, cfg in {"ast": AST, "cnn": CNN}.items():
        folder = tmp_path_factory.mktemp(name)
        build(cfg).save_pretrained(folder)
        found[name] = (folder, json.loads((folder / "config.json").read_text()))
    return found


@pytest.fixture
def no_memory(monkeypatch):
    """Networks that would take memory: nothing but their names and shapes may be asked for."""

    def refuse(*_):
        pytest.fail("the network was built before its configuration was checked")

    for kind in (astlib.AST, astlib.cnn.CNNMLP):
        made = kind.__init__

        def init(self, cfg, made=made):
            made(self, cfg) if torch.empty(0).is_meta else refuse()

        monkeypatch.setattr(kind, "__init__", init)


def refused(folder, config, message="config.json"):
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(InvalidInput, match=message) as error:
        open_model(folder)
    text = str(error.value)
    assert text.startswith(str(folder)) and "\n" not in text and len(text) < 600, text


@pytest.mark.parametrize("kind", ["ast", "cnn"])
@pytest.mark.parametrize("field", WHOLE)
def test_a_field_that_is_no_whole_number_in_its_range(folders, no_memory, kind, field):
    folder, config = folders[kind]
    for value in NO_WHOLE_NUMBER if field in config else ():
        refused(folder, {**config, "labels": None, field: value}, field)


@pytest.mark.parametrize("kind", ["ast", "cnn"])
@pytest.mark.parametrize("field", ["mean", "std", "layer_norm_eps"])
def test_a_field_that_is_no_finite_number(folders, no_memory, kind, field):
    folder, config = folders[kind]
    for value in NO_NUMBER if field in config else ():
        refused(folder, {**config, field: value}, field)


@pytest.mark.parametrize(
    "value", ["xyz", 3, {}, True, [1, 2, 3], [None] * 3, [["x"], "y", "z"], ["x"], [], "x" * 10**6]
)
def test_labels_that_are_no_list_of_names(folders, no_memory, value):
    refused(folders["ast"][0], {**folders["ast"][1], "labels": value}, "label")


@pytest.mark.parametrize(
    "value", [16, "16", [16], [16] * 3, ["a", "b"], [1.5, 2], [0, 16], [10**9, 1], None, {}, [[1]]]
)
def test_a_patch_that_is_no_pair(folders, no_memory, value):
    refused(folders["ast"][0], {**folders["ast"][1], "patch": value}, "patch")


@pytest.mark.parametrize("field, values", [
    ("multi_label", ("true", 1, 0, None, [], {}, float("nan"))),
    ("fill", ("noise", 1, None, [], {})), ("model_size", ("huge", 1, None, [], {})),
])  # fmt: skip
def test_a_choice_that_does_not_exist(folders, no_memory, field, values):
    for value in values:
        refused(folders["ast"][0], {**folders["ast"][1], field: value}, field)


@pytest.mark.parametrize(
    "text",
    ["null", "5", "true", '"text"', "[[1], [2]]", "", "{", "[" * 100_000, '{"a":' * 100_000, '{"label_dim": 1e400}'],
    ids=["null", "number", "true", "text", "lists", "empty", "half", "brackets", "objects", "infinity"],
)
def test_a_file_that_is_no_configuration(folders, no_memory, text):
    refused(folders["ast"][0], text)


@pytest.mark.parametrize("change", [
    {"label_dim": 90_000, "labels": None}, {"input_tdim": 90_000}, {"input_fdim": 4000}, {"model_size": "large384"},
    {"prefix_tokens": 1},
])  # fmt: skip
def test_a_configuration_of_more_than_the_weights_is_refused_before_memory_is_taken(folders, no_memory, change):
    folder, config = folders["ast"]
    refused(folder, {**config, **change}, "model.safetensors is damaged or belongs to another network: .* do not fit")


def test_more_patches_than_any_machine_can_compare():
    with pytest.raises(InvalidInput, match="has 1,4.*,... patches, at most 100,000 are possible"):
        AST.replace(input_tdim=99_999, input_fdim=240, fstride=1, tstride=16)


def header(entries, data=b""):
    """A safetensors file with these entries in its header, whatever they claim."""
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize("content", [
    b"", b"\0" * 7, b"\xff" * 8, struct.pack("<Q", 10**15) + b"{}", struct.pack("<Q", 2) + b"{",
    struct.pack("<Q", 4) + b"null", struct.pack("<Q", 8) + b"[" * 8,
    header({"cls_token": {"dtype": "F32", "shape": [1, 1, 192], "data_offsets": [0, 768]}}),
    header({"cls_token": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}}, b"\0" * 4),
    header({"cls_token": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"\0" * 4),
    header({"cls_token": {"dtype": "F31", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4),
    header({"cls_token": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, b"\0" * 4),
    header({"other": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4),
    header({}), b"<!DOCTYPE html><html>log in</html>", b"version https://git-lfs.github.com/spec/v1\n",
], ids=["empty", "7 bytes", "huge header", "long header", "half header", "null", "brackets", "no data", "exabytes",
        "negative", "dtype", "offsets", "other name", "nothing", "web page", "git lfs"])  # fmt: skip
def test_weights_that_lie(tmp_path, content):
    (tmp_path / "config.json").write_text(json.dumps(asdict(AST)))
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(InvalidInput, match="model.safetensors is damaged or belongs to another network") as error:
        open_model(tmp_path)
    assert len(str(error.value)) < 600


def test_weights_that_are_cut_anywhere(tmp_path, folders):
    (tmp_path / "config.json").write_text(json.dumps(asdict(AST)))
    path = tmp_path / "model.safetensors"
    whole = (folders["ast"][0] / path.name).read_bytes()
    for tenth in range(10):
        path.write_bytes(whole[: tenth * len(whole) // 10])
        with pytest.raises(InvalidInput, match="model.safetensors is damaged"):
            open_model(tmp_path)


def test_looking_at_a_network_draws_no_random_number(folders):
    """The check builds a network without memory; a chapter that draws numbers afterwards must not notice."""
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    astlib.AST.skeleton(AST)
    assert torch.equal(torch.rand(1), expected)
