"""The ONNX file against the network it came from, run by ONNX Runtime; and what happens when it cannot be written."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import astlib
from astlib import audio, explain
from astlib.data import ESC50, Synthetic
from astlib.decisions import Decision
from astlib.export import inside_to_onnx, to_onnx
from astlib.frontend import Features
from astlib.predict import predict

TWO = astlib.ASTConfig(
    label_dim=6, labels=tuple("uvwxyz"), fstride=10, tstride=16, input_fdim=48, input_tdim=64, model_size="tiny224"
)
ONE = TWO.replace(prefix_tokens=1, fill="silence", multi_label=False, mean=-6.6, std=5.4, input_fdim=128)


def shaken(cfg):
    """An AST in which every parameter matters: none is at its initial zero or one."""
    torch.manual_seed(0)
    model = astlib.AST(cfg).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    return model


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(network, x):
    (name,) = [value.name for value in network.get_inputs()]
    return network.run(["logits"], {name: x.numpy()})[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("onnx")


@pytest.fixture(scope="module", params=[TWO, ONE], ids=["two tokens", "one token"])
def from_mel(request, folder):
    model = shaken(request.param)
    if request.param is TWO:
        model.decision = Decision(temperature=2.0, none_score="energy", none_threshold=1.5)
    return model, to_onnx(model, folder / f"mel-{request.param.prefix_tokens}.onnx")


@pytest.fixture(scope="module")
def embedded(folder):
    model = astlib.AST.from_pretrained("ast-tiny-esc50")
    return model, to_onnx(model, folder / "ast-tiny-esc50.onnx", waveform=True, dtype=torch.float16)


@pytest.fixture(scope="module", params=["one token, filled with silence", "two tokens, filled with zero"])
def from_waveform(request, folder):
    if request.param.startswith("two"):
        model, path = request.getfixturevalue("embedded")
    else:
        model = shaken(ONE)
        path = to_onnx(model, folder / "waveform.onnx", waveform=True)
    assert request.param.endswith(model.cfg.fill)
    return model, session(path)


@torch.inference_mode()
def test_same_logits_as_torch_at_every_batch_size(from_mel):
    model, path = from_mel
    network, cfg = session(path), model.cfg
    for clips in (1, 2, 3, 7):
        mel = 0.5 * torch.randn(clips, cfg.input_tdim, cfg.input_fdim, generator=torch.Generator().manual_seed(clips))
        expected = model(mel).numpy()
        assert expected.std() > 0.05
        found = run(network, mel)
        assert found.shape == expected.shape and found.dtype == np.float32
        assert np.abs(found - expected).max() < 1e-5


def test_the_file_says_what_it_wants(from_mel):
    model, path = from_mel
    onnx.checker.check_model(str(path), full_check=True)
    (mel,), (logits,) = (found() for found in (session(path).get_inputs, session(path).get_outputs))
    assert (mel.name, mel.shape, mel.type) == ("mel", ["batch", 64, model.cfg.input_fdim], "tensor(float)")
    assert (logits.name, logits.shape, logits.type) == ("logits", ["batch", 6], "tensor(float)")
    properties = session(path).get_modelmeta().custom_metadata_map
    assert astlib.ASTConfig(**json.loads(properties["astlib_config"])) == model.cfg
    decision = Decision(**json.loads(properties.get("astlib_decision", "{}")))
    assert decision == model.decision
    assert ("astlib_decision" in properties) == (model.cfg.prefix_tokens == 2)  # a default decision is left out


def test_it_is_one_file_with_nothing_of_the_machine_in_it(from_mel):
    model, path = from_mel
    assert path.stat().st_size > 4 * sum(p.numel() for p in model.parameters())  # weights inside, none beside it
    content = path.read_bytes()
    assert b"model.py" not in content and str(astlib.__path__[0]).encode() not in content


def test_another_length_is_refused(from_mel):
    model, path = from_mel
    with pytest.raises(Exception, match="index: 1 Got: 63 Expected: 64"):
        run(session(path), torch.zeros(1, 63, model.cfg.input_fdim))


@torch.inference_mode()
@pytest.mark.parametrize("around, samples", [(0, 400), (0, 559), (0, 560), (1, -1), (1, 0), (1, 160), (2, 33)])
def test_front_end_fills_and_cuts_as_in_training(from_waveform, around, samples):
    model, network = from_waveform
    whole = (model.cfg.input_tdim - 1) * 160 + 400  # samples that give exactly the frames of the input
    sound = Synthetic(split="test").waveform(0).repeat(3)[: around * whole + samples]
    sound = torch.stack([sound, sound.flip(0), 0 * sound])  # the third is silence
    expected = model(Features(model.cfg)(sound)).numpy()
    assert np.abs(run(network, sound) - expected).max() < 2e-5


@torch.inference_mode()
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(clips=st.integers(1, 5), samples=st.integers(400, 30_000), power=st.integers(-5, 0), seed=st.integers(0, 99))
def test_any_number_of_sounds_of_any_length(from_waveform, clips, samples, power, seed):
    model, network = from_waveform
    sound = 10.0**power * (2 * torch.rand(clips, samples, generator=torch.Generator().manual_seed(seed)) - 1)
    expected = model(Features(model.cfg)(sound)).numpy()
    assert np.abs(run(network, sound) - expected).max() < 2e-5


def test_a_sample_that_is_no_number_does_not_become_an_answer(from_waveform):
    _, network = from_waveform
    sound = torch.full((2, 10_000), 0.1)
    sound[0, 3000] = torch.nan
    found = run(network, sound)
    assert np.isnan(found[0]).all() and np.isfinite(found[1]).all()


@torch.inference_mode()
def test_half_precision_halves_the_file_and_rounds_nothing_but_the_weights(embedded):
    """The embedded weights were rounded when they were saved, so the file of half the size gives the same answers."""
    model, path = embedded
    weights = 2 * sum(p.numel() for p in model.parameters())
    assert weights < path.stat().st_size < weights + 400_000
    onnx.checker.check_model(str(path), full_check=True)
    sound = torch.stack([Synthetic(split="test").waveform(i) for i in (0, 30, 60)])
    expected = model(Features(model.cfg)(sound)).numpy()
    assert np.abs(run(session(path), sound) - expected).max() < 2e-5


@torch.inference_mode()
def test_half_precision_of_other_weights_is_their_rounding_and_the_model_stays_as_it_was(tmp_path):
    model = shaken(TWO).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path = to_onnx(model, tmp_path / "new" / "folder" / "half.onnx", dtype=torch.float16)
    assert model.training and all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    mel = torch.randn(2, 64, 48, generator=torch.Generator().manual_seed(1))
    found, exact = run(session(path), mel), model(mel).numpy()
    rounded = model.half().float()(mel).numpy()
    assert np.abs(found - rounded).max() < 1e-5 < np.abs(found - exact).max() < 0.05


@torch.inference_mode()
def test_the_graphs_that_show_the_inside_equal_what_explain_computes(tmp_path):
    model = astlib.AST.from_pretrained("ast-tiny-esc50")
    front_end, inside = map(session, inside_to_onnx(model, tmp_path, torch.float16))
    sounds = torch.stack([Synthetic(split="test").waveform(i) for i in (7, 40)])
    mel = front_end.run(["mel"], {"waveform": sounds.numpy()})[0]
    assert np.abs(mel - Features(model.cfg).mel(sounds).numpy()).max() < 1e-3
    names = [output.name for output in inside.get_outputs()]
    found = dict(zip(names, map(torch.from_numpy, inside.run(names, {"mel": mel})), strict=True))
    x = Features(model.cfg)(sounds)
    maps = explain.attention_maps(model, x)
    assert maps.std() > 1e-3, "these maps are not all the same"
    assert (found["attention"] - maps).abs().max() < 1e-3
    products = found["queries"] @ found["keys"].transpose(-2, -1) / (model.cfg.dim // model.cfg.heads) ** 0.5
    assert (products.softmax(-1) - maps).abs().max() < 1e-3
    assert (found["rollout"] - explain.rollout(maps)).abs().max() < 1e-3
    assert (found["tokens"][:, 0] - model.embed_tokens(x)).abs().max() < 1e-3
    assert (model.norm(found["tokens"][:, -1]) - model.tokens(x)).abs().max() < 1e-3
    assert (found["features"] - model.embed(x)).abs().max() < 1e-3
    assert (found["logits"] - model(x)).abs().max() < 1e-3


@pytest.fixture
def quick_export(monkeypatch):
    """Writing is what is tried here, so the export is of one layer."""
    export = torch.onnx.export
    layer = torch.nn.Linear(4, 2).eval()
    monkeypatch.setattr(torch.onnx, "export", lambda network, example, **rest: export(
        layer, (torch.zeros(2, 4),), **{**rest, "dynamic_shapes": ({0: "batch"},)}))  # fmt: skip


def test_a_full_disk_leaves_the_earlier_file(tmp_path, monkeypatch, quick_export):
    path = tmp_path / "a.onnx"
    to_onnx(astlib.AST(TWO), path)
    earlier = path.read_bytes()

    def full(self, data):
        with open(self, "wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        to_onnx(astlib.AST(TWO), path)
    assert path.read_bytes() == earlier and [found.name for found in tmp_path.iterdir()] == ["a.onnx"]


def test_a_path_that_cannot_be(tmp_path, quick_export):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        to_onnx(astlib.AST(TWO), tmp_path / "file" / "a.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r'pip install "astlib\[onnx\]"'):
        to_onnx(astlib.AST(TWO), tmp_path / "a.onnx")


def test_another_dtype_is_refused(tmp_path):
    with pytest.raises(ValueError, match="float32 or torch.float16; found torch.bfloat16"):
        to_onnx(astlib.AST(TWO), tmp_path / "a.onnx", dtype=torch.bfloat16)


WITHOUT_TORCH = """
import json, sys
sys.modules["torch"] = sys.modules["astlib"] = None
import numpy, onnxruntime, soundfile
network = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
samples, rate = soundfile.read(sys.argv[2], dtype="float32")
logits = network.run(None, {"waveform": samples[None]})[0][0]
labels = json.loads(network.get_modelmeta().custom_metadata_map["astlib_config"])["labels"]
weights = numpy.exp(logits - logits.max())
print(json.dumps([labels[logits.argmax()], float(weights.max() / weights.sum())]))
"""


def test_it_needs_no_torch(embedded, tmp_path, monkeypatch):
    import soundfile

    model, path = embedded
    monkeypatch.setattr(model, "decision", Decision())  # a temperature is no part of the graph
    sound = Synthetic(split="test").waveform(7)
    soundfile.write(tmp_path / "a.wav", sound.numpy(), 16_000, subtype="FLOAT")
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, str(path), str(tmp_path / "a.wav")],
                          capture_output=True, text=True, check=True)  # fmt: skip
    label, probability = json.loads(done.stdout)
    assert (label, pytest.approx(probability, abs=1e-5)) == predict(model, sound, top=1)[0]


@torch.inference_mode()
def test_real_clips(embedded, esc50_root):
    """Quiet moments magnify the rounding of two Fourier transforms, by the logarithm: 4e-5 in a third of the fold."""
    model, path = embedded
    test = ESC50(esc50_root, fold=1, split="test")
    sound = torch.stack([audio.load(source) for source in test.sources[:24]])
    expected = model(Features(model.cfg)(sound)).numpy()
    assert np.abs(run(session(path), sound) - expected).max() < 5e-4
