"""One way to open any saved network: which kind it is, what damaged files lead to, and files of older versions."""

import json
from dataclasses import asdict

import pytest
import torch

import astlib
from astlib import convert, paths
from astlib.cnn import CNNMLP, CNNConfig
from astlib.errors import AstlibError, InvalidInput, MissingPackage, NotFound
from astlib.networks import build, open_model

TINY = astlib.ASTConfig(
    label_dim=3, fstride=16, tstride=16, input_fdim=32, input_tdim=48, model_size="tiny224", labels=tuple("xyz")
)
SMALL = CNNConfig("cnn-mlp", label_dim=3, input_fdim=32, input_tdim=48, labels=tuple("xyz"))

# What `save_pretrained` wrote before networks shared a base class, key for key: another order, and in the oldest files
# of an AST no "fill".
OLD_AST = {
    "label_dim": 3, "fstride": 16, "tstride": 16, "input_fdim": 32, "input_tdim": 48, "model_size": "tiny224",
    "prefix_tokens": 2, "patch": [16, 16], "layer_norm_eps": 1e-06, "mean": -6.6268077, "std": 5.358466,
    "multi_label": False, "labels": ["dog", "rain", "clock"],
}  # fmt: skip
OLD_CNN = {
    "network": "cnn-mlp", "label_dim": 3, "input_fdim": 32, "input_tdim": 48, "mean": -6.6, "std": 5.4,
    "fill": "silence", "multi_label": True, "labels": ["dog", "rain", "clock"],
}  # fmt: skip


@pytest.fixture
def saved(tmp_path):
    """A folder of a small AST."""
    torch.manual_seed(0)
    build(TINY).save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


OPENERS = {"open_model": open_model, "AST.from_pretrained": astlib.AST.from_pretrained}


# --- damaged files


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged"),
        (b"{", "is damaged"),
        (b"[1, 2]", "is damaged: expected an object, found list"),
        (b"3", "is damaged: expected an object, found int"),
        (b"\xff\xfe\x00", "is damaged"),
        (b'{"label_dim": "fifty"}', "cannot be used"),
        (b'{"patch": [16]}', "cannot be used"),
        (b'{"labels": 3}', "cannot be used"),
        (
            b'{"std": 0.0}',
            "cannot be used: mean must be .*, and std above 0, from 1e-06 to 1e.06; found mean .* and std 0",
        ),
        (b'{"mean": NaN}', "cannot be used: mean must be a finite number; found nan"),
        (b'{"model_size": "huge"}', "cannot be used: model_size must be one of"),
    ],
)
def test_a_damaged_configuration_is_named(saved, opener, content, message):
    (saved / "config.json").write_bytes(content)
    with pytest.raises(InvalidInput, match=message) as error:
        opener(saved)
    assert str(error.value).startswith(str(saved / "config.json"))


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
def test_damaged_weights_are_named(saved, opener):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InvalidInput, match="is damaged or belongs to another network") as error:
        opener(saved)
    assert str(error.value).startswith(str(path))


def test_a_damaged_folder_that_is_named_from_where_one_stands(saved, monkeypatch):
    """ "runs/saved" could also be a name on the hub; the folder comes first."""
    monkeypatch.chdir(saved.parent.parent)
    (saved / "config.json").write_text("")
    with pytest.raises(InvalidInput, match=r"saved.config\.json is damaged"):
        open_model(f"{saved.parent.name}/saved")


# --- which kind it is


def test_what_was_saved_is_opened_as_what_it_was(tmp_path):
    for name, cfg in {"ast": TINY, "cnn": SMALL}.items():
        network = build(cfg).eval()
        network.save_pretrained(tmp_path / name)
        again = open_model(tmp_path / name)
        assert type(again) is type(network) and again.cfg == cfg and not again.training
        mel = torch.randn(2, 48, 32)
        with torch.inference_mode():
            assert torch.equal(again(mel), network(mel))
    assert {type(open_model(tmp_path / name)) for name in ("ast", "cnn")} == {astlib.AST, CNNMLP}


def test_the_others_are_opened_too(tmp_path, monkeypatch, saved):
    network = astlib.AST.from_pretrained(saved)
    convert.save_huggingface(network, tmp_path / "hf")
    torch.save({f"module.v.{key}".replace("v.mlp", "mlp"): value for key, value in network.state_dict().items()},
               tmp_path / "weights.pth")  # fmt: skip
    assert open_model(tmp_path / "hf").cfg == network.cfg
    monkeypatch.setattr("astlib.convert.RELEASED_GRIDS", {6: {
        "fstride": 16, "tstride": 16, "input_fdim": 32, "input_tdim": 48}})  # fmt: skip
    monkeypatch.setenv("ASTLIB_WEIGHTS", str(tmp_path))
    for name in (tmp_path / "weights.pth", "weights.pth"):
        assert torch.equal(open_model(name).pos_embed, network.pos_embed)
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "astlib")
    network.save_pretrained(tmp_path / "models" / "comes-with-it")
    assert open_model("comes-with-it").cfg == network.cfg


def test_a_network_of_another_kind_is_refused_by_its_class(tmp_path, saved):
    build(SMALL).save_pretrained(tmp_path / "cnn")
    with pytest.raises(InvalidInput, match="not the configuration of an astlib AST: unknown keys network"):
        astlib.AST.from_pretrained(tmp_path / "cnn")
    with pytest.raises(InvalidInput, match="not the configuration of an astlib CNN: unknown keys fstride"):
        CNNMLP.from_pretrained(saved)


def test_without_transformers_it_says_what_to_install(tmp_path, saved, monkeypatch):
    convert.save_huggingface(astlib.AST.from_pretrained(saved), tmp_path / "hf")
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    for source in (tmp_path / "hf", "MIT/ast-finetuned-audioset-10-10-0.4593"):
        with pytest.raises(MissingPackage, match=r'pip install "astlib\[hf\]"'):
            open_model(source)


def test_where_nothing_is_the_message_lists_what_comes_with_astlib(tmp_path):
    for source in (tmp_path, tmp_path / "nothing", "no-such-model"):
        with pytest.raises(NotFound, match=r"expected a folder with config\.json.*ast-tiny-esc50"):
            open_model(source)


# --- files of older versions


@pytest.mark.parametrize(("old", "cfg"), [(OLD_AST, TINY), (OLD_CNN, SMALL)], ids=["ast", "cnn"])
def test_folders_of_older_versions_open(tmp_path, old, cfg):
    torch.manual_seed(0)
    network = build(cfg.replace(**{key: value for key, value in old.items() if key != "network"})).eval()
    network.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(old, indent=2) + "\n")
    again = open_model(tmp_path)
    assert {**asdict(again.cfg), "labels": list(again.cfg.labels)}.items() >= {
        key: tuple(value) if key == "patch" else value for key, value in old.items()
    }.items()
    assert again.cfg == network.cfg
    with torch.inference_mode():
        mel = torch.randn(2, 48, 32)
        assert torch.equal(again(mel), network(mel))


def test_what_is_saved_today_has_the_keys_of_before(tmp_path):
    """So that a folder of today also opens with an older astlib."""
    for cfg, old in ((TINY, {**OLD_AST, "fill": "zero"}), (SMALL, OLD_CNN)):
        build(cfg).save_pretrained(tmp_path)
        assert set(json.loads((tmp_path / "config.json").read_text())) == set(old)


def test_fields_are_given_by_name():
    """The order of the fields changed; a number in another place would have changed its meaning in silence."""
    with pytest.raises(TypeError):
        astlib.ASTConfig(527, 10, 10)
    assert CNNConfig("cnn-mlp").network == "cnn-mlp"


# --- configurations


@pytest.mark.parametrize("cfg", [TINY, SMALL], ids=["ast", "cnn"])
@pytest.mark.parametrize(
    "changes", [{"std": std} for std in (0.0, -1.0, float("nan"), float("inf"))]
    + [{"mean": mean} for mean in (float("nan"), float("inf"), -float("inf"))],
    ids=str,
)  # fmt: skip
def test_constants_that_would_make_every_input_infinite_or_nan_are_refused(cfg, changes):
    with pytest.raises(
        InvalidInput, match="(mean|std) must be a finite number|mean must be .* and std .* found mean"
    ) as error:
        cfg.replace(**changes)
    assert isinstance(error.value, AstlibError)
