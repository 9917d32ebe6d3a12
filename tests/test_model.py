"""The network: its sizes, its grid, its errors, its files, and that each part computes what its name says."""

import json
import warnings
from dataclasses import asdict

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import astlib
from astlib import paths
from astlib.model import Attention, Block, PatchEmbed

# Counts of the original's logs (1,024 frames, 527 classes) less its two unused ImageNet heads.
PARAMETERS = {"tiny224": 5_723_663, "small224": 22_063_631, "base224": 86_594_063, "base384": 86_594_063,
              "large384": 304_361_999}  # fmt: skip
# Patches that the original's logs and the paper's table 5 name, and their grids: (frames, stride) -> (f, t).
GRIDS = {
    (100, 10): (12, 9), (100, 12): (10, 8), (100, 14): (9, 7), (100, 16): (8, 6),
    (128, 10): (12, 12), (128, 16): (8, 8), (256, 10): (12, 25), (512, 10): (12, 50), (512, 16): (8, 32),
    (998, 10): (12, 99), (1024, 10): (12, 101), (1024, 12): (10, 85), (1024, 14): (9, 73),
    (1024, 16): (8, 64),
}  # fmt: skip

SMALL = astlib.ASTConfig(label_dim=5, fstride=16, tstride=16, input_fdim=32, input_tdim=48, model_size="tiny224")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return astlib.AST(SMALL).eval()


@pytest.fixture
def mel():
    return torch.randn(3, 48, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", PARAMETERS)
def test_parameter_count_of_the_paper(size):
    with torch.device("meta"):
        model = astlib.AST(astlib.ASTConfig(model_size=size))
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[size]


def test_one_prefix_token_saves_two_rows():
    """A plain ViT has neither the distillation token nor its position: 2 x 192 numbers less."""
    with torch.device("meta"):
        model = astlib.AST(astlib.ASTConfig(model_size="tiny224", prefix_tokens=1))
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS["tiny224"] - 2 * 192
    assert not hasattr(model, "dist_token")


@pytest.mark.parametrize("setting", GRIDS)
def test_grid_of_the_published_settings(setting):
    frames, stride = setting
    cfg = astlib.ASTConfig(input_tdim=frames, fstride=stride, tstride=stride)
    assert astlib.token_grid(cfg) == GRIDS[setting]


@settings(max_examples=60, deadline=None)
@given(
    mels=st.integers(1, 160), frames=st.integers(1, 300),
    fstride=st.integers(1, 40), tstride=st.integers(1, 40),
    patch=st.tuples(st.integers(1, 140), st.integers(1, 40)),
)  # fmt: skip
def test_grid_is_the_size_of_a_convolutions_output(mels, frames, fstride, tstride, patch):
    sizes = {"input_fdim": mels, "input_tdim": frames, "fstride": fstride, "tstride": tstride, "patch": patch}
    if mels < patch[0] or frames < patch[1]:
        with pytest.raises(ValueError, match="not a single token"):
            astlib.ASTConfig(**sizes)
        return
    conv = nn.Conv2d(1, 1, kernel_size=patch, stride=(fstride, tstride), device="meta")
    output = conv(torch.empty(1, 1, mels, frames, device="meta"))
    assert astlib.token_grid(astlib.ASTConfig(**sizes)) == tuple(output.shape[2:])


@pytest.mark.parametrize("changes, message", [
    ({"model_size": "huge"}, "tiny224, small224, base224, base384, large384; found 'huge'"),
    ({"prefix_tokens": 3}, "1 .* or 2 .*found 3"),
    ({"prefix_tokens": 0}, "found 0"),
    ({"fstride": 0}, "1 or more"),
    ({"label_dim": 0}, "1 or more"),
    ({"input_tdim": 15}, "128 mel bins x 15 frames is smaller than one patch of 16 x 16"),
    ({"labels": ("dog", "cat")}, "label_dim is 527, but 2 labels"),
])  # fmt: skip
def test_a_wrong_configuration_says_what_is_wrong(changes, message):
    with pytest.raises(ValueError, match=message):
        astlib.ASTConfig(**changes)


def test_configuration_survives_json():
    cfg = SMALL.replace(labels=tuple("abcde"), patch=(8, 16))
    assert astlib.ASTConfig(**json.loads(json.dumps(asdict(cfg)))) == cfg


@pytest.mark.parametrize("shape, hint", [
    ((3, 32, 48), "transposed"),
    ((3, 47, 32), "pad_or_cut"),
    ((3, 48, 33), "pad_or_cut"),
    ((48, 32), "batch of one"),
    ((3, 1, 48, 32), "three axes"),
])  # fmt: skip
def test_a_wrong_shape_is_refused_before_any_product(model, monkeypatch, shape, hint):
    monkeypatch.setattr(PatchEmbed, "forward", lambda *_: pytest.fail("a product was computed first"))
    with pytest.raises(ValueError, match=hint) as error:
        model(torch.randn(shape))
    assert "48 frames, 32 mels" in str(error.value) and str(tuple(shape)) in str(error.value)


@pytest.mark.parametrize("dtype", [torch.int16, torch.int64, torch.bool])
def test_integers_are_refused_before_any_product(model, monkeypatch, dtype):
    monkeypatch.setattr(PatchEmbed, "forward", lambda *_: pytest.fail("a product was computed first"))
    with pytest.raises(ValueError, match=f"floating-point.*{dtype}"):
        model(torch.ones(3, 48, 32, dtype=dtype))


def test_shapes_of_every_output(model, mel):
    assert model.embed_tokens(mel).shape == (3, 2 + 2 * 3, 192)
    assert model.tokens(mel).shape == (3, 2 + 2 * 3, 192)
    assert model.embed(mel).shape == (3, 192)
    assert model(mel).shape == (3, 5)


@torch.no_grad()
def test_a_trace_of_one_clip_computes_any_batch(model, mel):
    """TorchScript by tracing; by `torch.jit.script` it is not possible, because it does not know dataclasses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and leaves out the check of the input
        traced = torch.jit.trace(model, mel[:1])
    torch.testing.assert_close(traced(mel), model(mel))


@torch.inference_mode()
def test_embedding_is_the_mean_of_the_two_class_tokens(model, mel):
    tokens = model.tokens(mel)
    torch.testing.assert_close(model.embed(mel), (tokens[:, 0] + tokens[:, 1]) / 2)
    head_norm, head = model.mlp_head
    torch.testing.assert_close(model(mel), head(head_norm((tokens[:, 0] + tokens[:, 1]) / 2)))


@torch.inference_mode()
def test_token_order_is_frequency_outer_time_inner(model):
    """A spectrogram that is silent but for one patch changes that patch's token and no other."""
    silent, sounding = torch.zeros(1, 48, 32), torch.zeros(1, 48, 32)
    f, t = 1, 2
    sounding[0, 16 * t : 16 * t + 16, 16 * f : 16 * f + 16] = 1.0
    changed = (model.patch_embed(silent) != model.patch_embed(sounding)).any(dim=-1)[0]
    assert changed.nonzero().flatten().tolist() == [f * 3 + t]


@torch.inference_mode()
def test_patch_token_is_the_kernel_times_the_patch(model, mel):
    kernel = model.patch_embed.proj.weight[:, 0]  # (192, 16 mels, 16 frames)
    patch = mel[:, 32:48, 16:32].transpose(1, 2)  # (3, 16 mels, 16 frames), row 1 and column 2 of the grid
    expected = torch.einsum("dft,bft->bd", kernel, patch) + model.patch_embed.proj.bias
    torch.testing.assert_close(model.patch_embed(mel)[:, 1 * 3 + 2], expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("dim, heads", [(192, 3), (384, 6), (768, 12)])
def test_attention_is_softmax_of_the_scaled_products(dim, heads):
    torch.manual_seed(0)
    attention = Attention(dim, heads)
    x = torch.randn(2, 7, dim)
    out = torch.zeros(2, 7, dim)
    query, key, value = attention.qkv.weight.chunk(3)
    bq, bk, bv = attention.qkv.bias.chunk(3)
    for head in range(heads):
        rows = slice(64 * head, 64 * (head + 1))
        q, k, v = x @ query[rows].T + bq[rows], x @ key[rows].T + bk[rows], x @ value[rows].T + bv[rows]
        out[..., rows] = torch.softmax(q @ k.transpose(1, 2) / 8.0, dim=-1) @ v  # 8 is the root of 64
    expected = out @ attention.proj.weight.T + attention.proj.bias
    torch.testing.assert_close(attention(x), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_block_is_torchs_own_pre_norm_layer():
    """torch's TransformerEncoderLayer with norm_first and exact GELU is this block under other names."""
    torch.manual_seed(0)
    ours = Block(192, 3, 1e-6).eval()
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.1)
    theirs = nn.TransformerEncoderLayer(192, 3, 768, 0.0, F.gelu, 1e-6, batch_first=True, norm_first=True)
    names = {
        "norm1": "norm1", "norm2": "norm2", "mlp.fc1": "linear1", "mlp.fc2": "linear2",
        "attn.proj": "self_attn.out_proj", "attn.qkv.": "self_attn.in_proj_",
    }  # fmt: skip
    state = {}
    for key, value in ours.state_dict().items():
        stem = next(name for name in names if key.startswith(name))
        state[key.replace(stem, names[stem])] = value
    theirs.eval().load_state_dict(state)
    x = torch.randn(2, 9, 192)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_clips_of_a_batch_do_not_see_each_other(model, mel):
    together, alone = model(mel), torch.cat([model(mel[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("prefix_tokens", [1, 2])
def test_gradient_reaches_every_parameter(mel, prefix_tokens):
    torch.manual_seed(0)
    model = astlib.AST(SMALL.replace(prefix_tokens=prefix_tokens))
    F.cross_entropy(model(mel), torch.tensor([0, 1, 2])).backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []


def test_the_two_class_tokens_part_from_the_start(model, mel):
    assert not torch.equal(model.cls_token, model.dist_token)
    with torch.inference_mode():
        tokens = model.tokens(mel)
    assert (tokens[:, 0] - tokens[:, 1]).abs().max() > 1e-3


def test_initial_weights_have_the_original_spread():
    torch.manual_seed(0)
    model = astlib.AST(SMALL.replace(input_tdim=512))
    assert model.pos_embed.std().item() == pytest.approx(0.02, rel=0.05)
    weights = torch.cat([b.attn.qkv.weight.flatten() for b in model.blocks])
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)
    assert all(b.attn.qkv.bias.abs().max() == 0 for b in model.blocks)
    # torch's default for a convolution: uniform within 1 / root of the 256 inputs of a kernel
    bound = model.patch_embed.proj.weight.abs().max().item()
    assert 0.9 / 16 < bound <= 1 / 16


@pytest.mark.parametrize("dtype, tolerance", [(None, 0.0), (torch.float16, 1e-3)])
def test_save_and_load(model, mel, tmp_path, dtype, tolerance):
    model.save_pretrained(tmp_path / "saved", dtype=dtype)
    again = astlib.AST.from_pretrained(tmp_path / "saved")
    assert again.cfg == model.cfg and not again.training
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    for (name, before), after in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert (before - after).abs().max() <= tolerance * before.abs().max(), name
    if dtype is None:
        with torch.inference_mode():
            assert torch.equal(model(mel), again(mel))
    files = sorted(path.name for path in (tmp_path / "saved").iterdir())
    assert files == ["config.json", "model.safetensors"]


def test_half_precision_halves_the_file(model, tmp_path):
    sizes = {}
    for dtype in (torch.float32, torch.float16):
        model.save_pretrained(tmp_path / str(dtype), dtype=dtype)
        sizes[dtype] = (tmp_path / str(dtype) / "model.safetensors").stat().st_size
    assert sizes[torch.float16] < 0.51 * sizes[torch.float32]


def test_unknown_model_names_the_known_ones(tmp_path, monkeypatch, model):
    model.save_pretrained(tmp_path / "models" / "one-we-know")
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "astlib")
    assert astlib.AST.from_pretrained("one-we-know").cfg == SMALL
    with pytest.raises(FileNotFoundError, match=r"no model at no-such-model.*config\.json.*one-we-know"):
        astlib.AST.from_pretrained("no-such-model")


def test_a_foreign_configuration_is_recognised(model, tmp_path):
    model.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 768, "num_mel_bins": 128}))
    with pytest.raises(ValueError, match="unknown keys hidden_size, num_mel_bins.*open_model opens .*Hugging Face"):
        astlib.AST.from_pretrained(tmp_path)


def test_weights_of_another_grid_do_not_load(model, tmp_path):
    """A wrong length must fail loudly: table 4 prices a lost position embedding at 4 points of mAP."""
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "input_tdim": 64}))
    with pytest.raises((RuntimeError, ValueError), match="pos_embed"):
        astlib.AST.from_pretrained(tmp_path)


def test_runs_in_bfloat16(model, mel):
    with torch.inference_mode():
        half = astlib.AST(SMALL).to(torch.bfloat16).eval()
        half.load_state_dict(model.state_dict())
        assert (half(mel.to(torch.bfloat16)).float() - model(mel)).abs().max() < 0.1
