"""The CNNs beside the AST: their shapes, their sizes, attention pooling by its formula, and the same loop for all."""

import json
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from typer.testing import CliRunner

from astlib import cnn, transfer
from astlib.cli import app
from astlib.cnn import AttentionPooling, CNNConfig
from astlib.data import Synthetic
from astlib.errors import Interrupted, WeightsNotFound
from astlib.measure import evaluate
from astlib.model import AST, ASTConfig
from astlib.networks import build, open_model
from astlib.predict import predict
from astlib.recipes import RECIPES
from astlib.reproduce import costs
from astlib.sources import describe
from astlib.train import build_model, fit
from astlib.train.checkpoint import average, complete
from astlib.transfer import from_efficientnet

NETWORKS = ["cnn-mlp", "psla"]
LABELS = Synthetic(split="train").labels[:3]
RECIPE = RECIPES["synthetic"].replace(
    init="scratch", epochs=2, batch=4, input_tdim=64, timem=12, mixup=0.5, average=(1, 2), lr=1e-3
)


@pytest.fixture(scope="module")
def data():
    train = Synthetic(fold=1, split="train").select(labels=LABELS, limit_per_class=3)  # 9 clips: the last step is one
    test = Synthetic(fold=1, split="test").select(labels=LABELS, limit_per_class=2)
    return train, test


@pytest.fixture(scope="module", params=NETWORKS)
def finished(request, data, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param)
    return out, fit(RECIPE.replace(network=request.param), out, *data, progress=False)


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return {name: build(CNNConfig(name, label_dim=7, input_fdim=32)).eval() for name in NETWORKS}


def equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@settings(max_examples=10, deadline=None)
@given(batch=st.integers(1, 3), frames=st.integers(32, 150), name=st.sampled_from(NETWORKS))
def test_any_number_of_clips_and_frames_gives_logits(networks, batch, frames, name):
    with torch.no_grad():
        logits = networks[name](torch.randn(batch, frames, 32))
    assert logits.shape == (batch, 7) and logits.dtype == torch.float32 and logits.isfinite().all()


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 3), steps=st.integers(1, 9), dim=st.integers(1, 6), classes=st.integers(1, 4),
       heads=st.integers(1, 5), seed=st.integers(0, 999))  # fmt: skip
def test_attention_pooling_is_its_formula(batch, steps, dim, classes, heads, seed):
    torch.manual_seed(seed)
    pool, x = AttentionPooling(dim, classes, heads), 3 * torch.randn(batch, steps, dim)
    nn.init.uniform_(pool.head_weight)
    u, v = (layer.weight.view(heads, classes, dim) for layer in (pool.attend, pool.classify))
    a, b = (layer.bias.view(heads, classes) for layer in (pool.attend, pool.classify))
    expected = torch.zeros(batch, classes)
    for i in range(batch):
        for h in range(heads):
            for c in range(classes):
                weight = [torch.sigmoid(x[i, t] @ u[h, c] + a[h, c]) for t in range(steps)]
                found = [torch.sigmoid(x[i, t] @ v[h, c] + b[h, c]) for t in range(steps)]
                mean = sum(w * p for w, p in zip(weight, found, strict=True)) / sum(weight)
                expected[i, c] += pool.head_weight[h] * mean
    assert torch.allclose(pool(x), expected, atol=1e-5)
    assert torch.allclose(pool.attention_weights(x).sum(dim=1), torch.ones(batch, heads, classes))


def test_pslas_logits_are_those_of_its_probabilities(networks):
    mel = torch.randn(2, 96, 32)
    with torch.no_grad():
        psla = networks["psla"]
        steps = psla.steps(mel)
        assert steps.shape == (2, 3, 1408)
        assert torch.allclose(psla(mel).sigmoid(), psla.pool(steps), atol=1e-6)
    for extreme in (torch.zeros(1, 7), torch.ones(1, 7)):
        handle = psla.pool.register_forward_hook(lambda *_, p=extreme: p)  # a probability of 0 or 1 has no logit
        assert psla(mel).isfinite().all()
        handle.remove()


def test_sizes_are_the_published_ones():
    with torch.device("meta"):
        counted = {name: sum(p.numel() for p in build(CNNConfig(name)).parameters()) for name in NETWORKS}
    assert counted["psla"] == pytest.approx(13.6e6, rel=0.005)
    assert counted["cnn-mlp"] < 1e6
    assert costs.forward_flops(RECIPES["audioset-psla"], 527) < costs.forward_flops(RECIPES["audioset"], 527) / 50


def test_training_moves_every_weight(networks):
    for name in NETWORKS:
        network = build(networks[name].cfg)
        network(torch.randn(3, 64, 32)).softmax(dim=1)[:, 0].sum().backward()
        assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("change, message", [
    ({"network": "resnet"}, "one of cnn-mlp, psla; found 'resnet'"), ({"label_dim": 0}, "label_dim must be 1 or more"),
    ({"input_tdim": 31}, "32 mel bins and frames"), ({"fill": "noise"}, "fill must be"),
    ({"labels": ["a"]}, "1 labels were given"),
])  # fmt: skip
def test_configurations_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CNNConfig().replace(**change)


@pytest.mark.parametrize("shape", [(64, 32), (1, 31, 32), (1, 64, 33), (1, 1, 64, 32)])
def test_other_inputs_are_refused(networks, shape):
    for network in networks.values():
        with pytest.raises(ValueError, match="batch, 32 or more frames, 32 mels"):
            network(torch.zeros(shape))
    with pytest.raises(ValueError, match="torch.int64"):
        network(torch.zeros(1, 64, 32, dtype=torch.long))


def test_unknown_networks_and_impossible_starts_are_refused():
    with pytest.raises(ValueError, match="network must be one of ast, cnn-mlp, psla; found 'cnn'"):
        RECIPE.replace(network="cnn")
    with pytest.raises(ValueError, match="no ImageNet weights for cnn-mlp"):
        RECIPE.replace(network="cnn-mlp", init="imagenet")
    with pytest.raises(ValueError, match="network of the kind ast, the recipe asks for psla"):
        build_model(RECIPE.replace(network="psla", init="ast-tiny-esc50"), LABELS)


def test_without_timm_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match="pip install"):
        build(CNNConfig("psla"))
    build(CNNConfig("cnn-mlp"))


def test_records_of_before_are_of_an_ast():
    old = {name: value for name, value in vars(RECIPES["esc50-tiny"]).items() if name != "network"}
    assert type(RECIPES["esc50"])(**old).network == "ast"


# --- the same loop -------------------------------------------------------------------------------------------


def test_a_run_leaves_a_model_that_everything_can_use(finished, data):
    out, run = finished
    name = run.parameters["network"]
    config = json.loads((out / "model/config.json").read_text())
    assert config["network"] == name and config["labels"] == LABELS
    model = open_model(out / "model")
    assert type(model) is cnn.NETWORKS[name] and not model.training
    found = evaluate(model, data[1], progress=False).metrics
    assert found["accuracy"] == pytest.approx(run.metrics["accuracy"])
    assert len(run.epochs) == 2 and run.epochs[-1]["train_loss"] != run.epochs[0]["train_loss"]
    assert len(predict(model, data[1].waveform(0), top=2)) == 2


def test_resumed_from_a_checkpoint_it_ends_with_the_same_bits(finished, data, tmp_path):
    out, run = finished
    recipe = RECIPE.replace(network=run.parameters["network"])

    def stop_later(training):
        if (training.epoch, training.step) == (2, 1):  # the next step, 2 of 3, hears of it
            training.asked.set()

    with pytest.raises(Interrupted, match="stopped at epoch 2, step 2 of 3"):
        fit(recipe, tmp_path, *data, progress=False, after_step=stop_later)
    assert len(complete(tmp_path)) == 1
    again = fit(recipe, tmp_path, *data, progress=False)
    for folder in ("model", "average", "weights/epoch-001", "weights/epoch-002"):
        assert equal(open_model(out / folder), open_model(tmp_path / folder)), folder
    assert [e["train_loss"] for e in again.epochs] == [e["train_loss"] for e in run.epochs]


def test_average_is_the_mean_of_weights_and_running_statistics(finished):
    folders = [finished[0] / f"weights/epoch-{e:03d}" for e in (1, 2)]
    one, two, mean = (model.state_dict() for model in (*map(open_model, folders), average(folders)))
    assert any(key.endswith("running_var") for key in mean)
    for key, value in mean.items():
        if value.is_floating_point():
            assert torch.allclose(value, (one[key] + two[key]) / 2, atol=1e-6)


def test_a_network_cannot_be_averaged_with_another(finished, networks, tmp_path):
    other = networks["cnn-mlp" if finished[1].parameters["network"] == "psla" else "psla"]
    other.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="another network"):
        average([finished[0] / "model", tmp_path])


def test_saved_and_loaded_it_says_the_same(networks, tmp_path):
    mel = torch.randn(2, 64, 32)
    for name, network in networks.items():
        network.save_pretrained(tmp_path / name)
        with torch.no_grad():
            assert torch.equal(open_model(tmp_path / name)(mel), network(mel))
        assert equal(type(network).from_pretrained(tmp_path / name), network)
    assert isinstance(open_model("ast-tiny-esc50"), AST)
    with pytest.raises(
        ValueError, match="not the configuration of an astlib AST: unknown keys network.*networks.open_model"
    ):
        AST.from_pretrained(tmp_path / "psla")
    (tmp_path / "psla/config.json").write_text('{"network": "psla", "depth": 3}')
    with pytest.raises(ValueError, match="unknown keys depth"):
        open_model(tmp_path / "psla")
    (tmp_path / "psla/config.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        open_model(tmp_path / "psla")


def test_a_run_can_start_from_a_saved_cnn_with_other_classes(finished, data):
    out, run = finished
    recipe = RECIPE.replace(network=run.parameters["network"], init=str(out / "model"), input_tdim=96)
    start, saved = open_model(out / "model"), {}
    same, weights = build_model(recipe, LABELS)
    assert equal(same, start) and same.cfg.input_tdim == 96 and weights["hash"].startswith("sha256:")
    other = build_model(recipe, [*LABELS, "one more"])[0].state_dict()
    for key, value in start.state_dict().items():
        saved.setdefault(key.startswith(start.head), []).append(torch.equal(value, other[key]) if
                                                                value.shape == other[key].shape else False)  # fmt: skip
    assert all(saved[False]) and not all(saved[True])
    another = "cnn-mlp" if recipe.network == "psla" else "psla"
    with pytest.raises(ValueError, match="their weights have other shapes"):
        transfer.adapt(start, start.cfg.replace(network=another))


def test_imagenet_weights_of_timm_fit_and_their_channels_are_summed(monkeypatch, tmp_path):
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    picture = timm.create_model(cnn.EFFICIENTNET).eval()
    model = from_efficientnet(picture.state_dict(), CNNConfig(label_dim=3)).eval()
    mel = torch.randn(1, 64, 128)
    with torch.no_grad():
        grey = model.image(mel).expand(-1, 3, -1, -1)
        assert torch.allclose(picture.forward_features(grey), model.body(model.image(mel)), atol=1e-4)
    with pytest.raises(ValueError, match="not the weights of timm's efficientnet_b2"):
        from_efficientnet(AST(ASTConfig(label_dim=3, model_size="tiny224")).state_dict(), CNNConfig(label_dim=3))
    recipe = RECIPE.replace(network="psla", init="imagenet")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ASTLIB_WEIGHTS", str(tmp_path))
    save_file(picture.state_dict(), tmp_path / "efficientnet_b2.ra_in1k.safetensors")
    started, weights = build_model(recipe, LABELS)
    assert weights["source"] == "imagenet, efficientnet_b2.ra_in1k"
    assert torch.equal(started.body.conv_head.weight, picture.conv_head.weight)
    (tmp_path / "efficientnet_b2.ra_in1k.safetensors").unlink()
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: (_ for _ in ()).throw(OSError("offline")))
    with pytest.raises(WeightsNotFound, match="no efficientnet_b2 weights"):
        build_model(recipe, LABELS)


def test_the_command_line_measures_and_asks_them(finished, tmp_path):
    import soundfile

    out, run = finished
    soundfile.write(tmp_path / "tone.wav", Synthetic().waveform(0).numpy(), 16_000)
    runner = CliRunner()
    result = runner.invoke(app, ["predict", str(tmp_path / "tone.wav"), "--model", str(out / "model"), "--top", "1"])
    assert result.exit_code == 0, result.output
    result = runner.invoke(app, ["evaluate", "--model", str(out / "model"), "--data", "synthetic"])
    assert result.exit_code != 0
    assert "do not have the same classes" in str(result.exception), "three classes are not ten"


def test_recipes_of_pslas_authors_say_where_their_values_come_from():
    for name in ("audioset-psla", "audioset-psla-balanced"):
        table = describe(name)
        assert {row[2] for row in table.rows if row[0] == "lr"} <= {
            "psla at ad3ea6f: egs/audioset/run.sh, src/traintest.py", "this variant; audioset-psla has 0.0001"
        }  # fmt: skip
    rates = [RECIPES["audioset-psla"].learning_rate(epoch) for epoch in (10, 11, 15, 16, 30)]
    assert rates == pytest.approx([1e-4, 5e-5, 5e-5, 2.5e-5, 6.25e-6])
