"""The other formats of the same network: Hugging Face's port both ways, and the original's checkpoints."""

import json
import re
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import ASTConfig as HFConfig
from transformers import ASTFeatureExtractor, ASTForAudioClassification, pipeline

import astlib
from astlib import audio, convert
from astlib.data import ESC50, Synthetic
from astlib.decisions import Decision
from astlib.errors import InvalidInput
from astlib.networks import open_model
from astlib.predict import predict
from astlib.recipes import RECIPES
from astlib.train import build_model

TINY = astlib.ASTConfig(label_dim=6, fstride=16, tstride=16, input_fdim=48, input_tdim=64, model_size="tiny224")
TINY_SHAPE = {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768, "max_length": 64}
SETTINGS = [  # size, stride, mels, frames: few frames keep the base networks quick
    ("tiny224", 16, 128, 128), ("tiny224", 10, 128, 100), ("base384", 16, 48, 64), ("base384", 10, 36, 56),
]  # fmt: skip


def hugging_face(cfg):
    """transformers' own network of this shape, with weights that are not at their initial zeros."""
    torch.manual_seed(0)
    config = HFConfig(
        hidden_size=cfg.dim, num_attention_heads=cfg.heads, intermediate_size=4 * cfg.dim,
        frequency_stride=cfg.fstride, time_stride=cfg.tstride, num_mel_bins=cfg.input_fdim,
        max_length=cfg.input_tdim, num_labels=cfg.label_dim, layer_norm_eps=cfg.layer_norm_eps,
        problem_type="multi_label_classification",
    )  # fmt: skip
    return shake(ASTForAudioClassification(config)).eval()


def shake(network):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    return network


def noise(cfg, clips=2):
    generator = torch.Generator().manual_seed(3)
    return 0.5 * torch.randn(clips, cfg.input_tdim, cfg.input_fdim, generator=generator)


def difference(a, b):
    """The largest difference as a fraction of the largest value."""
    return ((a - b).abs().max() / b.abs().max()).item()


@torch.inference_mode()
@pytest.mark.parametrize("size, stride, mels, frames", SETTINGS)
def test_from_hugging_face(size, stride, mels, frames):
    cfg = TINY.replace(model_size=size, fstride=stride, tstride=stride, input_fdim=mels, input_tdim=frames)
    theirs = hugging_face(cfg)
    ours = convert.from_huggingface(theirs)
    assert ours.cfg.replace(labels=None) == cfg and not ours.training
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    x, expected = noise(cfg), theirs(noise(cfg)).logits
    assert expected.std() > 0.05
    assert difference(ours(x), expected) < 1e-3
    # what is left is the epsilon of the head's norm, which astlib keeps at the original's 1e-5
    ours.mlp_head[0].eps = cfg.layer_norm_eps
    assert difference(ours(x), expected) < 2e-5
    hidden = theirs.audio_spectrogram_transformer(x)
    assert difference(ours.tokens(x), hidden.last_hidden_state) < 2e-5
    assert difference(ours.embed(x), hidden.pooler_output) < 2e-5


@torch.inference_mode()
@pytest.mark.parametrize("size, stride, mels, frames", SETTINGS)
def test_to_hugging_face(size, stride, mels, frames):
    torch.manual_seed(1)
    cfg = TINY.replace(model_size=size, fstride=stride, tstride=stride, input_fdim=mels, input_tdim=frames)
    ours = shake(astlib.AST(cfg)).eval()
    theirs = convert.to_huggingface(ours)
    assert not theirs.training
    x = noise(cfg)
    assert difference(ours(x), theirs(x).logits) < 1e-3


def test_there_and_back_is_the_same_to_the_bit():
    torch.manual_seed(1)
    ours = astlib.AST(TINY.replace(labels=tuple("uvwxyz"), multi_label=False))
    again = convert.from_huggingface(convert.to_huggingface(ours))
    assert again.cfg == ours.cfg
    for (name, before), after in zip(ours.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(before, after), name


@torch.inference_mode()
def test_through_the_files_that_transformers_writes(tmp_path):
    theirs = hugging_face(TINY)
    theirs.save_pretrained(tmp_path)
    in_file = load_file(tmp_path / "model.safetensors")
    assert any(".encoder.layer.0.attention.attention.query.weight" in key for key in in_file)
    with pytest.warns(UserWarning, match="no front-end.*mean and std are AudioSet's"):
        ours = convert.from_huggingface(tmp_path)
    assert difference(ours(noise(TINY)), theirs(noise(TINY)).logits) < 1e-3
    assert (ours.cfg.mean, ours.cfg.std) == (TINY.mean, TINY.std)
    with pytest.warns(UserWarning):
        assert convert.from_huggingface(str(tmp_path)).cfg == ours.cfg


@torch.inference_mode()
def test_transformers_loads_what_astlib_wrote(tmp_path):
    """The keys of `state_to_huggingface` are those that transformers reads: none missing, none left over."""
    torch.manual_seed(1)
    ours = shake(astlib.AST(TINY)).eval()
    convert.to_huggingface(ours).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    state = convert.state_to_huggingface(ours.state_dict())
    state = {key: value.contiguous() for key, value in state.items()}
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    theirs, report = ASTForAudioClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    assert difference(ours(noise(TINY)), theirs.eval()(noise(TINY)).logits) < 1e-3


def test_both_kinds_of_keys_are_understood(tmp_path):
    theirs = hugging_face(TINY)
    theirs.save_pretrained(tmp_path)
    from_memory = convert.state_from_huggingface(theirs.state_dict())
    from_file = convert.state_from_huggingface(load_file(tmp_path / "model.safetensors"))
    assert from_memory.keys() == from_file.keys() == astlib.AST(TINY).state_dict().keys()
    assert all(torch.equal(from_memory[key], from_file[key]) for key in from_file)


def test_query_key_and_value_keep_their_order():
    names = {f"qkv{i}": f"attention.{part}" for i, part in enumerate(("query", "key", "value"))}
    state = convert.state_to_huggingface(astlib.AST(TINY).state_dict())
    ours = convert.state_from_huggingface(state)["blocks.4.attn.qkv.weight"]
    for i, name in enumerate(names.values()):
        part = state[f"audio_spectrogram_transformer.encoder.layer.4.attention.{name}.weight"]
        assert torch.equal(ours[192 * i : 192 * (i + 1)], part)


def test_normalisation_constants_come_from_the_folder(tmp_path):
    hugging_face(TINY).save_pretrained(tmp_path)
    extractor = {"feature_extractor_type": "ASTFeatureExtractor", "mean": -6.5, "std": 5.25}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(extractor))
    cfg = convert.from_huggingface(tmp_path).cfg
    assert (cfg.mean, cfg.std) == (-6.5, 5.25)


@pytest.mark.parametrize("multi_label, problem", [
    (True, "multi_label_classification"), (False, "single_label_classification"),
])  # fmt: skip
def test_labels_and_the_kind_of_problem_travel(multi_label, problem):
    """Without problem_type transformers' pipeline takes softmax where AudioSet needs sigmoid."""
    labels = ("rain", "dog", "sea waves", "baby", "clock", "person")
    cfg = TINY.replace(multi_label=multi_label, labels=labels)
    config = convert.to_huggingface(astlib.AST(cfg)).config
    assert config.problem_type == problem
    assert config.id2label == dict(enumerate(cfg.labels))
    assert config.label2id["sea waves"] == 2


def test_loss_is_the_one_that_the_kind_of_problem_asks_for():
    ours = shake(astlib.AST(TINY)).eval()
    targets = torch.tensor([[1.0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1]])
    with torch.inference_mode():
        loss = convert.to_huggingface(ours)(noise(TINY), labels=targets).loss
        expected = torch.nn.functional.binary_cross_entropy_with_logits(ours(noise(TINY)), targets)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_one_token_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="always has two prefix tokens.*has 1 .*prefix_tokens=2"):
        convert.to_huggingface(astlib.AST(TINY.replace(prefix_tokens=1)))


def test_oblong_patches_are_refused():
    with pytest.raises(ValueError, match="square patches.*8x16"):
        convert.to_huggingface(astlib.AST(TINY.replace(patch=(8, 16))))


@pytest.mark.parametrize("changes, message", [
    ({"num_hidden_layers": 2}, "heads and layers .*; found .*, 2"),
    ({"num_attention_heads": 6}, r"found \(192, 6, 12\)"),
])  # fmt: skip
def test_another_shape_is_refused(changes, message):
    with torch.device("meta"):
        theirs = ASTForAudioClassification(HFConfig(**{**TINY_SHAPE, **changes}))
    with pytest.raises(ValueError, match=message):
        convert.from_huggingface(theirs)


def test_a_foreign_state_is_refused():
    state = convert.state_to_huggingface(astlib.AST(TINY).state_dict())
    with pytest.raises(ValueError, match="unexpected parameter decoder.weight"):
        convert.state_from_huggingface({**state, "decoder.weight": torch.zeros(1)})
    del state["audio_spectrogram_transformer.encoder.layer.7.attention.attention.key.bias"]
    with pytest.raises(ValueError, match=r"layer\.7\.attention\.attention\.key\.bias is missing"):
        convert.state_from_huggingface(state)


# --- the original's checkpoints


@pytest.fixture
def original(tmp_path):
    return original_file(tmp_path, TINY)


def original_file(folder, cfg):
    """A file as the original writes it: from DataParallel, the encoder under `v`, two dead ImageNet heads."""
    torch.manual_seed(4)
    model = shake(astlib.AST(cfg)).eval()
    state = {}
    for key, value in model.state_dict().items():
        state[f"module.{key}" if key.startswith("mlp_head") else f"module.v.{key}"] = value
    for head in ("head", "head_dist"):
        state[f"module.v.{head}.weight"] = torch.randn(1000, 192)
        state[f"module.v.{head}.bias"] = torch.randn(1000)
    path = folder / "audioset_16_16.pth"
    torch.save(state, path)
    return model, path


@torch.inference_mode()
def test_an_original_checkpoint(original):
    model, path = original
    loaded = convert.load_original(path, TINY)
    assert not loaded.training
    assert torch.equal(loaded(noise(TINY)), model(noise(TINY)))


def test_dead_heads_are_a_million_and_a_half_of_the_paper_sized_network():
    """The original's log counts 88.132 M where 86.594 M are used: two heads of 1,000 outputs each."""
    with torch.device("meta"):
        used = sum(p.numel() for p in astlib.AST(astlib.ASTConfig()).parameters())
    assert used + 2 * 1000 * (768 + 1) == 88_132_063


def test_a_checkpoint_of_another_grid_says_what_to_do(original):
    _, path = original
    with pytest.raises(ValueError, match="has 12 patch tokens, the configuration 1212.*transfer.adapt"):
        convert.load_original(path)  # without a configuration: AudioSet's grid


def test_default_configuration_is_read_off_the_file(tmp_path):
    """527 classes and the width come from the file; stride 10 on 128 x 1,024 is the released setting."""
    torch.manual_seed(0)
    model = astlib.AST(astlib.ASTConfig(label_dim=9, model_size="tiny224"))
    state = {f"module.v.{key}".replace("v.mlp", "mlp"): value for key, value in model.state_dict().items()}
    torch.save(state, tmp_path / "a.pth")
    loaded = convert.load_original(tmp_path / "a.pth")
    assert loaded.cfg == astlib.ASTConfig(label_dim=9, model_size="tiny224")
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), model.parameters(), strict=True))


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at .*nothing.pth"):
        convert.load_original(tmp_path / "nothing.pth")
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "cnn.pth")
    with pytest.raises(ValueError, match="not a checkpoint of the original AST: it has conv1.weight"):
        convert.load_original(tmp_path / "cnn.pth")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", None])
def test_a_broken_file_is_named(original, tmp_path, content):
    """An interrupted download is the most common fault of a checkpoint."""
    path = tmp_path / "broken.pth"
    path.write_bytes(original[1].read_bytes()[:100_000] if content is None else content)
    with pytest.raises(ValueError, match="broken.pth"):
        convert.load_original(path, TINY)


def test_a_checkpoint_of_another_width_is_named(original, tmp_path):
    state = torch.load(original[1], weights_only=True)
    state["module.mlp_head.1.weight"] = torch.zeros(6, 100)
    torch.save(state, tmp_path / "narrow.pth")
    with pytest.raises(ValueError, match=r"narrow\.pth has tokens of width 100; astlib knows \[192, 384, 768, 1024\]"):
        convert.load_original(tmp_path / "narrow.pth")


def test_a_list_is_no_checkpoint(tmp_path):
    torch.save([1, 2, 3], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="list.pth"):
        convert.load_original(tmp_path / "list.pth")


WRAPPERS = {
    "bare": lambda state: {key.removeprefix("module."): value for key, value in state.items()},
    "training loop": lambda state: {"epoch": 3, "optimizer": {"lr": 0.1}, "model": state, "model_ema": {}},
    "numbers of NumPy": lambda state: {
        "best": np.float64(0.9), "map": np.float32(0.4), "epoch": np.int64(7), "done": np.bool_(True), "model": state,
    },
    "Lightning": lambda state: {
        "state_dict": {
            "loss.weight": torch.ones(3), **{key.replace("module.", "model."): value for key, value in state.items()}
        },
        "pytorch-lightning_version": "2.4.0",
    },
    "compiled in a wrapper": lambda state: {
        "net": {key.replace("module.", "_orig_mod.net."): value for key, value in state.items()}
    },
}  # fmt: skip


@torch.inference_mode()
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_a_checkpoint_of_ones_own_loop_is_found_inside_its_file(original, tmp_path, wrap):
    if wrap is WRAPPERS["numbers of NumPy"] and not hasattr(torch.serialization, "safe_globals"):
        pytest.skip("torch 2.4 refuses NumPy's numbers")
    model, path = original
    torch.save(wrap(torch.load(path, weights_only=True)), tmp_path / "own.ckpt")
    loaded = convert.load_original(tmp_path / "own.ckpt", TINY)
    assert torch.equal(loaded(noise(TINY)), model(noise(TINY)))


def test_numbers_of_numpy_1_are_read_by_numpy_2(tmp_path):
    if not hasattr(torch.serialization, "safe_globals"):
        pytest.skip("torch 2.4 refuses NumPy's numbers")
    torch.save({"best": np.float64(0.5)}, tmp_path / "new.pth")
    with zipfile.ZipFile(tmp_path / "new.pth") as new, zipfile.ZipFile(tmp_path / "old.pth", "w") as old:
        for name in new.namelist():
            old.writestr(name, re.sub(rb"numpy\._?core\.", b"numpy.core.", new.read(name)))
    for name in ("new.pth", "old.pth"):
        with pytest.raises(ValueError, match="not a checkpoint of the original AST: it has best"):
            convert.load_original(tmp_path / name)


def changed(state, **changes):
    new = {**state, **{f"module.{key.replace('__', '.')}": value for key, value in changes.items()}}
    return {key: value for key, value in new.items() if value is not None}


@pytest.mark.parametrize("change, message", [
    (lambda s: changed(s, mask_embed=torch.zeros(1, 1, 192), mlp_head__1__weight=None), "is a checkpoint of SSAST"),
    (lambda s: changed(s, mlp_head__1__weight=None), "has no mlp_head: this is a ViT"),
    (lambda s: changed(s, v__dist_token=None), "not a checkpoint of the original AST: it has"),
    (lambda s: changed(s, v__pos_embed=torch.zeros(14)), "not a checkpoint of the original AST: it has"),
    (lambda s: changed(s, v__pos_embed="text"), "not a checkpoint of the original AST: it has"),
    (lambda s: changed(s, v__norm__bias="text"), "something else than weights in norm.bias"),
    (lambda s: changed(s, v__norm__bias=torch.zeros(192, dtype=torch.int64)), "something else than weights in norm"),
    (lambda s: changed(s, v__norm__bias=torch.zeros(7)), "does not fit a tiny224 AST of 6 classes.*norm.bias$"),
    (lambda s: changed(s, v__norm__bias=None), "does not fit .*norm.bias$"),
    (lambda s: changed(s, v__blocks__12__norm1__bias=torch.zeros(192)), "does not fit .*blocks.12.norm1.bias$"),
    (lambda s: changed(s, mlp_head__1__weight=torch.zeros(1).expand(10**8, 192)), "claim to be larger than the file"),
    (lambda s: {f"layer{i}.{'x' * 10_000}": torch.zeros(1) for i in range(1000)}, "it has layer0"),
    (lambda s: dict(enumerate(s.values())), "it has 0, 1, 2, 3 …"),
    (lambda s: {}, "it has $"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_what_a_checkpoint_lacks_is_said_in_a_line(original, tmp_path, change, message):
    torch.save(change(torch.load(original[1], weights_only=True)), tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=message) as refused:
        convert.load_original(tmp_path / "odd.pth", TINY)
    assert len(str(refused.value)) < len(str(tmp_path)) + 400


@pytest.fixture(scope="module")
def small_checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "a.pth"
    torch.save({"model": {"cls_token": torch.ones(3), "n": np.float64(1)}, "epoch": 3}, path)
    return path, path.read_bytes()


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_a_damaged_checkpoint_never_ends_in_a_traceback(small_checkpoint, data):
    path, whole = small_checkpoint
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for place in data.draw(st.lists(st.integers(0, max(0, len(damaged) - 1)), max_size=4)) if damaged else ():
        damaged[place] = data.draw(st.integers(0, 255))
    path.with_name("b.pth").write_bytes(damaged)
    with pytest.raises(InvalidInput, match="b.pth"):
        convert.load_original(path.with_name("b.pth"))


def test_nothing_in_a_checkpoint_is_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "was-executed"), "w"))

    torch.save({"cls_token": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(ValueError, match="trap.pth"):
        convert.load_original(tmp_path / "trap.pth")
    assert not (tmp_path / "was-executed").exists()


def test_the_constants_of_the_sound_survive_a_folder(tmp_path):
    """mean and std decide every prediction on sound: they travel with the weights, and the front-end has them too."""
    cfg = astlib.ASTConfig(label_dim=2, labels=("a", "b"), model_size="tiny224", fstride=16, tstride=16, input_tdim=64,
                           mean=-6.6268077, std=5.358466, multi_label=False)  # fmt: skip
    hf = convert.to_huggingface(astlib.AST(cfg))
    assert convert.from_huggingface(hf).cfg == cfg
    convert.save_huggingface(astlib.AST(cfg), tmp_path)
    assert convert.from_huggingface(tmp_path).cfg == cfg
    classify = pipeline("audio-classification", model=str(tmp_path))
    found = classify(torch.randn(8_000).numpy() * 0.1)
    assert {row["label"] for row in found} == {"a", "b"} and sum(row["score"] for row in found) == pytest.approx(1)


@torch.inference_mode()
@pytest.mark.parametrize("changes", [
    {"fstride": 10, "tstride": 10}, {"fstride": 8, "tstride": 12}, {"input_tdim": 96}, {"input_tdim": 32},
    {"input_fdim": 64}, {"input_fdim": 40, "input_tdim": 128, "fstride": 8},
])  # fmt: skip
@pytest.mark.parametrize("kind", ["original", "hugging face", "astlib"])
def test_training_starts_from_any_released_model_on_any_grid(tmp_path, monkeypatch, kind, changes):
    """The original crashes with AudioSet weights at every stride but 10 (src/models/ast_models.py:130-139)."""
    monkeypatch.setenv("ASTLIB_WEIGHTS", str(tmp_path))
    cfg = TINY
    if kind == "original":
        cfg = TINY.replace(input_fdim=128, input_tdim=1024)  # 512 patches, as the released model of stride 16
        init = original_file(tmp_path, cfg)[1].name  # found in the folder of weights
    elif kind == "hugging face":
        hugging_face(cfg).save_pretrained(tmp_path / "hf")
        init = str(tmp_path / "hf")
    else:
        init = str(tmp_path / "saved")
        shake(astlib.AST(cfg)).save_pretrained(init)
    source = open_model(init)
    recipe = RECIPES["esc50-p"].replace(
        init=init, model_size="tiny224", **{"fstride": 16, "tstride": 16, "input_fdim": cfg.input_fdim,
                                            "input_tdim": cfg.input_tdim, **changes}
    )  # fmt: skip
    model, weights = build_model(recipe, ["a", "b", "c"])
    assert model(noise(model.cfg)).shape == (2, 3) and astlib.token_grid(model.cfg) != astlib.token_grid(cfg)
    assert torch.equal(model.blocks[7].attn.qkv.weight, source.blocks[7].attn.qkv.weight)
    assert weights["hash"].startswith("sha256:")


def test_what_is_no_model_is_said_in_words(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match="no checkpoint at nothing.pth"):
        open_model("nothing.pth")
    with pytest.raises(FileNotFoundError, match="no model at"):
        open_model(tmp_path)
    with pytest.raises(FileNotFoundError, match="hub did not give it.*Download it elsewhere"):
        open_model("MIT/no-such-model")


# --- a Hugging Face folder


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    model = astlib.AST.from_pretrained("ast-tiny-esc50")
    folder = convert.save_huggingface(model, tmp_path_factory.mktemp("hf") / "new" / "folder")
    model.decision = Decision()  # the pipeline knows none: its temperature is 1
    return model, folder


def scores(folder, waveform, **words):
    classify = pipeline("audio-classification", model=str(folder))
    return {row["label"]: row["score"] for row in classify(waveform.numpy(), top_k=None, **words)}


@pytest.mark.parametrize("seconds", [0.3, 2.0, 5.0])
def test_the_pipeline_gives_the_probabilities_of_predict(embedded, seconds):
    """1e-4 leaves room for the head's epsilon, and for two front-ends that round differently."""
    model, folder = embedded
    waveform = Synthetic(split="test").waveform(3)[: int(16_000 * seconds)]
    expected = dict(predict(model, waveform, top=50))
    found = scores(folder, waveform)
    assert found.keys() == expected.keys() and sum(found.values()) == pytest.approx(1, abs=1e-5)
    assert max(abs(found[label] - expected[label]) for label in expected) < 1e-4


def test_the_pipeline_on_real_clips(embedded, esc50_root):
    model, folder = embedded
    test = ESC50(esc50_root, fold=1, split="test")
    for source in test.sources[:120:15]:
        waveform = audio.load(source)
        expected, found = dict(predict(model, waveform, top=50)), scores(folder, waveform)
        assert max(abs(found[label] - expected[label]) for label in expected) < 1e-4


def test_the_pipeline_hears_only_the_beginning_of_a_long_sound(embedded):
    """Chapter 17 says so, and astlib.predict does not."""
    model, folder = embedded
    data = Synthetic(split="test")
    long = torch.cat([data.waveform(i) for i in (0, 30, 60)])
    first = scores(folder, long[: 511 * 160 + 400])
    assert scores(folder, long) == pytest.approx(first, abs=1e-6)
    assert max(abs(value - first[label]) for label, value in predict(model, long, top=50)) > 0.01


def test_a_multi_label_model_gets_sigmoids_in_the_pipeline(tmp_path):
    torch.manual_seed(2)
    model = shake(astlib.AST(TINY.replace(labels=tuple("uvwxyz")))).eval()
    waveform = torch.randn(10_000) * 0.1  # one window
    convert.save_huggingface(model, tmp_path)
    expected = dict(predict(model, waveform, top=6))
    assert scores(tmp_path, waveform) == pytest.approx(expected, abs=1e-4)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "problem_type": None}))
    without = scores(tmp_path, waveform)  # the trap of chapter 17
    assert sum(without.values()) == pytest.approx(1, abs=1e-5) and sum(expected.values()) > 1.5
    again = open_model(tmp_path)
    assert dict(predict(again, waveform, top=6)) == pytest.approx(without, abs=1e-4), "as the pipeline has it"


@pytest.mark.parametrize("classes, problem, several", [
    (4, None, False), (527, None, True), (527, "single_label_classification", False),
    (4, "multi_label_classification", True), (4, "single_label_classification", False),
])  # fmt: skip
def test_sigmoid_or_softmax_is_what_the_pipeline_takes_but_for_audioset(classes, problem, several):
    """The published AudioSet checkpoint does not say that it was trained with sigmoid."""
    config = HFConfig(num_labels=classes, problem_type=problem, **TINY_SHAPE)
    assert convert.from_huggingface(ASTForAudioClassification(config)).cfg.multi_label is several


@pytest.mark.parametrize("change, message", [
    ({"hidden_act": "relu"}, "has hidden_act gelu; found 'relu'"),
    ({"qkv_bias": False}, "has qkv_bias True; found False"),
    ({"problem_type": "regression"}, "has problem_type None or single.*found 'regression'"),
    ({"num_attention_heads": 0}, "num_attention_heads must be a whole number from 1 to 100000; found 0"),
    ({"frequency_stride": 0}, "frequency_stride must be a whole number"),
    ({"hidden_size": "192"}, "hidden_size must be a whole number.*found '192'"),
    ({"patch_size": [16, 16]}, "patch_size must be a whole number"),
    ({"max_length": 10**9}, "max_length must be a whole number"),
    ({"num_hidden_layers": 99_999}, r"found \(192, 3, 99999\)"),
    ({"intermediate_size": 100}, "with an MLP of 4 times the width; found .* with an MLP of 100"),
    ({"id2label": ["a", "b"]}, r"id2label must name each class.*found \['a', 'b'\]"),
    ({"id2label": {"0": "a", "2": "b"}}, "id2label must name each class"),
    ({"id2label": {"0": "a", "1": None}}, "id2label must name each class"),
    ({"num_labels": 10**9, "id2label": None}, "id2label must name each class"),
    ({"layer_norm_eps": "x"}, "layer_norm_eps|not supported between|must be"),
    ({"mean": "x"}, "mean|must be"),
    ({"std": 0}, "std above 0"),
    ({"model_type": "wav2vec2"}, "is no AST: its model_type is 'wav2vec2'"),
    ({"max_length": 2000}, "cannot be opened as a Hugging Face AST"),
])  # fmt: skip
def test_a_hugging_face_folder_that_does_not_fit_is_refused_in_a_line(embedded, tmp_path, change, message):
    """Before memory is taken, and before transformers draws anything at random."""
    for name in ("model.safetensors", "preprocessor_config.json"):
        (tmp_path / name).symlink_to(embedded[1] / name)
    config = json.loads((embedded[1] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(InvalidInput, match=message) as refused:
        open_model(tmp_path)
    assert len(str(refused.value)) < len(str(tmp_path)) + 450 and "\n" not in str(refused.value)


def test_weights_that_are_cut_or_missing_are_refused(embedded, tmp_path):
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((embedded[1] / name).read_bytes())
    path = tmp_path / "model.safetensors"
    path.write_bytes((embedded[1] / "model.safetensors").read_bytes()[:-1000])
    with pytest.raises(InvalidInput, match="cannot be opened as a Hugging Face AST .*Safetensor"):
        open_model(tmp_path)
    state = load_file(embedded[1] / "model.safetensors")
    body = {key: value for key, value in state.items() if not key.startswith("classifier.dense")}
    save_file(body, path, metadata={"format": "pt"})
    with pytest.raises(InvalidInput, match="no weights for classifier.dense.bias, classifier.dense.weight:"):
        open_model(tmp_path)


def test_a_front_end_that_hears_otherwise_is_refused_or_followed(embedded, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(embedded[1] / name)
    config = json.loads((embedded[1] / "config.json").read_text())
    (tmp_path / "config.json").unlink()
    config = {key: value for key, value in config.items() if key not in ("mean", "std")}
    (tmp_path / "config.json").write_text(json.dumps(config))
    front_end = json.loads((embedded[1] / "preprocessor_config.json").read_text())
    place = tmp_path / "preprocessor_config.json"
    place.write_text(json.dumps({**front_end, "sampling_rate": 32_000}))
    with pytest.raises(InvalidInput, match="hears sound at 32000 Hz; astlib's front-end has 16000"):
        open_model(tmp_path)
    place.write_text(json.dumps({**front_end, "do_normalize": False}))
    waveform = Synthetic(split="test").waveform(3)
    found, expected = dict(predict(open_model(tmp_path), waveform, top=50)), scores(tmp_path, waveform)
    assert found == pytest.approx(expected, abs=1e-4)


def test_a_saved_folder_is_the_same_model_again_and_holds_nothing_else(embedded):
    model, folder = embedded
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json", "decision.json", "model.safetensors", "preprocessor_config.json"
    ]  # fmt: skip
    again = open_model(folder)
    assert again.cfg == model.cfg
    assert again.decision == astlib.AST.from_pretrained("ast-tiny-esc50").decision != Decision()
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))


def test_saving_that_fails_leaves_no_file(tmp_path, monkeypatch):
    def full(self, *words, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ASTFeatureExtractor, "save_pretrained", full)  # the second of the two to be saved
    with pytest.raises(OSError, match="No space left"):
        convert.save_huggingface(astlib.AST(TINY), tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="always has two prefix tokens"):
        convert.save_huggingface(astlib.AST(TINY.replace(prefix_tokens=1)), tmp_path / "new")
    assert not (tmp_path / "new").exists()
