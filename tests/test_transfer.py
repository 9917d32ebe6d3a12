"""From a Vision Transformer to an AST: checked against timm's networks and the original's rule, restated."""

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import astlib
from astlib import paths, transfer
from astlib.errors import WeightsNotFound
from astlib.transfer import adapt_position_embedding, from_vit

# A spectrogram of 224 frames and 224 mels without overlap has the grid of ViT's pictures.
SQUARE = astlib.ASTConfig(label_dim=7, fstride=16, tstride=16, input_fdim=224, input_tdim=224, model_size="tiny224")
SHORT = SQUARE.replace(input_fdim=128, input_tdim=128)


def picture_network(name):
    """A timm network with weights that are not at their initial values: there, many biases are zero."""
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return network


@pytest.fixture(scope="module")
def vit():
    return picture_network("vit_tiny_patch16_224")


@pytest.fixture(scope="module")
def deit():
    return picture_network("deit_tiny_distilled_patch16_224")


@pytest.fixture
def mel():
    return torch.randn(2, 224, 224, generator=torch.Generator().manual_seed(1))


def as_picture(mel):
    """The spectrogram as a grey picture, frequency as its height: (batch, 3, mels, frames)."""
    return mel.transpose(1, 2).unsqueeze(1).expand(-1, 3, -1, -1)


# --- the network is the picture network


@torch.inference_mode()
@pytest.mark.parametrize("which, prefix_tokens", [("vit", 1), ("deit", 2)])
def test_on_a_square_grid_ast_is_the_picture_network(which, prefix_tokens, mel, request):
    network = request.getfixturevalue(which)
    ast = from_vit(network, SQUARE.replace(prefix_tokens=prefix_tokens)).eval()
    theirs = network.forward_features(as_picture(mel))
    assert theirs.shape == (2, prefix_tokens + 14 * 14, 192)
    torch.testing.assert_close(ast.tokens(mel), theirs, atol=2e-5, rtol=1e-5)


@pytest.mark.skipif(
    transfer.find_vit("vit_tiny_patch16_224") is None,
    reason="no ImageNet weights on this machine: set ASTLIB_WEIGHTS to the folder that holds them",
)
@torch.inference_mode()
def test_with_real_imagenet_weights_ast_is_the_picture_network(mel):
    state = transfer.load_vit("vit_tiny_patch16_224")
    network = timm.create_model("vit_tiny_patch16_224", pretrained=False).eval()
    network.load_state_dict(state)
    ast = from_vit(state, SQUARE.replace(prefix_tokens=1)).eval()
    theirs = network.forward_features(as_picture(mel))
    # activations reach 50 and more in the real network: relative to the largest
    assert (ast.tokens(mel) - theirs).abs().max() < 1e-5 * theirs.abs().max()


@torch.inference_mode()
def test_mean_of_the_channels_is_a_third_of_the_sum(vit, mel):
    by = {c: from_vit(vit, SQUARE.replace(prefix_tokens=1), channels=c).patch_embed for c in ("sum", "mean")}
    bias = by["sum"].proj.bias
    assert torch.equal(bias, by["mean"].proj.bias) and torch.equal(bias, vit.patch_embed.proj.bias)
    torch.testing.assert_close(3 * (by["mean"](mel) - bias), by["sum"](mel) - bias, atol=1e-5, rtol=1e-4)
    # and the mean equals the picture network only on a third of the grey picture
    theirs = vit.patch_embed(as_picture(mel) / 3)
    torch.testing.assert_close(by["mean"](mel), theirs, atol=1e-5, rtol=1e-4)


def test_model_and_state_dict_give_the_same(deit):
    torch.manual_seed(0)
    one = from_vit(deit, SHORT)
    torch.manual_seed(0)
    other = from_vit(deit.state_dict(), SHORT)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_weights_are_copied_not_shared(vit):
    before = vit.blocks[0].mlp.fc1.weight.clone()
    ast = from_vit(vit, SHORT)
    with torch.no_grad():
        for parameter in ast.parameters():
            parameter.zero_()
    assert torch.equal(vit.blocks[0].mlp.fc1.weight, before)


def test_half_precision_weights_become_float32(vit):
    state = {key: value.half() for key, value in vit.state_dict().items()}
    assert {p.dtype for p in from_vit(state, SHORT).parameters()} == {torch.float32}


# --- prefix tokens


def test_one_token_becomes_two_that_differ(vit):
    ast = from_vit(vit, SHORT)
    assert torch.equal(ast.cls_token, vit.cls_token)
    assert not torch.equal(ast.cls_token, ast.dist_token)
    assert (ast.dist_token - ast.cls_token).std().item() == pytest.approx(0.02, rel=0.3)
    assert torch.equal(ast.pos_embed[:, 0], ast.pos_embed[:, 1])
    with torch.inference_mode():
        tokens = ast.eval().tokens(torch.randn(1, 128, 128))
    assert (tokens[:, 0] - tokens[:, 1]).abs().max() > 1e-3


@torch.inference_mode()
def test_two_tokens_become_one(deit, mel):
    ast = from_vit(deit, SQUARE.replace(prefix_tokens=1)).eval()
    assert torch.equal(ast.cls_token, deit.cls_token) and ast.pos_embed.shape[1] == 1 + 14 * 14
    assert torch.equal(ast.pos_embed[:, 0], deit.pos_embed[:, 0])
    torch.testing.assert_close(ast.pos_embed[:, 1:], deit.pos_embed[:, 2:])


# --- the position embedding, against the original's rule said once more with torch's own operations


def original_rule(pos_embed, hw, f, t, prefix):
    """Time first, then frequency: a crop at hw//2 - n//2 if it fits, bilinear interpolation if not."""
    rest = pos_embed[:, prefix:]
    grid = torch.stack([rest[0, :, d].reshape(hw) for d in range(rest.shape[2])])[None]
    rows, columns = hw
    if t <= columns:
        grid = grid[..., columns // 2 - t // 2 : columns // 2 - t // 2 + t]
    else:
        grid = nn.Upsample(size=(rows, t), mode="bilinear")(grid)
    if f <= rows:
        grid = grid[:, :, rows // 2 - f // 2 : rows // 2 - f // 2 + f]
    else:
        grid = nn.Upsample(size=(f, t), mode="bilinear")(grid)
    rows_of_tokens = [grid[0, :, i, j] for i in range(f) for j in range(t)]
    return torch.cat([pos_embed[:, :prefix], torch.stack(rows_of_tokens)[None]], dim=1)


@settings(max_examples=80, deadline=None)
@given(
    source=st.sampled_from([(14, 14), (24, 24), (12, 101), (8, 32), (13, 9)]),
    f=st.integers(1, 40), t=st.integers(1, 110), prefix=st.integers(1, 2),
)  # fmt: skip
def test_position_adaptation_is_the_originals_rule(source, f, t, prefix):
    generator = torch.Generator().manual_seed(f * 1000 + t)
    pos = torch.randn(1, prefix + source[0] * source[1], 5, generator=generator)
    ours = adapt_position_embedding(pos, source, (f, t), prefix)
    torch.testing.assert_close(ours, original_rule(pos, source, f, t, prefix), atol=1e-6, rtol=1e-6)


def coordinates(rows, columns, prefix=2):
    """A position embedding that says where it stands: number of row and of column."""
    grid = torch.cartesian_prod(torch.arange(float(rows)), torch.arange(float(columns)))
    return torch.cat([torch.full((prefix, 2), -1.0), grid])[None]


@pytest.mark.parametrize("source, target, rows, columns", [
    ((24, 24), (12, 12), (6, 17), (6, 17)),  # base384 on Speech Commands: cut on both axes
    ((24, 24), (8, 8), (8, 15), (8, 15)),
    ((24, 24), (9, 9), (8, 16), (8, 16)),
    ((24, 24), (10, 10), (7, 16), (7, 16)),
    ((14, 14), (12, 12), (1, 12), (1, 12)),
    ((12, 101), (12, 50), (0, 11), (25, 74)),  # an AudioSet model on ESC-50
    ((12, 101), (8, 101), (2, 9), (0, 100)),
    ((14, 14), (14, 14), (0, 13), (0, 13)),
])  # fmt: skip
def test_the_rows_and_columns_that_are_kept(source, target, rows, columns):
    new = adapt_position_embedding(coordinates(*source), source, target, 2)
    assert new[0, :2].tolist() == [[-1, -1], [-1, -1]]
    kept = new[0, 2:].reshape(*target, 2)
    assert kept[..., 0].unique().tolist() == list(range(rows[0], rows[1] + 1))
    assert kept[..., 1].unique().tolist() == list(range(columns[0], columns[1] + 1))


def test_frequency_is_cut_while_time_is_stretched():
    """base384 to AudioSet's 12 x 101: rows 6 to 17 stay whole, 24 columns become 101."""
    kept = adapt_position_embedding(coordinates(24, 24), (24, 24), (12, 101), 2)[0, 2:].reshape(12, 101, 2)
    assert kept[:, 0, 0].tolist() == list(range(6, 18))
    expected = ((torch.arange(101) + 0.5) * 24 / 101 - 0.5).clamp(0, 23)  # centres of the new columns
    torch.testing.assert_close(kept[0, :, 1], expected, atol=1e-4, rtol=0)


def test_nearest_takes_rows_that_exist():
    kept = adapt_position_embedding(coordinates(14, 14), (14, 14), (20, 50), 2, mode="nearest")[0, 2:]
    assert torch.equal(kept, kept.round())
    assert kept.reshape(20, 50, 2)[0, :, 1].tolist() == [(i * 14) // 50 for i in range(50)]


def test_reinit_and_none_keep_nothing():
    pos = 100 + torch.randn(1, 2 + 196, 192)
    torch.manual_seed(0)
    drawn = adapt_position_embedding(pos, (14, 14), (12, 50), 2, mode="reinit")
    assert drawn.shape == (1, 602, 192) and drawn.std().item() == pytest.approx(0.02, rel=0.05)
    nothing = adapt_position_embedding(pos, (14, 14), (12, 50), 2, mode="none")
    assert nothing.shape == (1, 602, 192) and nothing.abs().max() == 0


def test_position_none_is_zero_and_stays_zero(vit):
    ast = from_vit(vit, SHORT, position="none")
    assert ast.pos_embed.abs().max() == 0 and not ast.pos_embed.requires_grad
    assert from_vit(vit, SHORT, position="reinit").pos_embed.requires_grad


@pytest.mark.parametrize("target", [(14, 14), (20, 20), (7, 30)])
def test_shapes_agree_with_timms_resampling(target):
    """timm interpolates bicubically over the whole grid: another rule, but the same layout of rows."""
    from timm.layers import resample_abs_pos_embed

    pos = torch.randn(1, 1 + 196, 192)
    theirs = resample_abs_pos_embed(pos, list(target), num_prefix_tokens=1)
    ours = adapt_position_embedding(pos, (14, 14), target, 1)
    assert ours.shape == theirs.shape and torch.equal(ours[:, 0], theirs[:, 0])
    if target == (14, 14):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("shape, message", [
    ((1, 197, 192), "14 x 14 with 2 prefix tokens .*(1, 198, dim).*(1, 197, 192)"),
    ((2, 198, 192), "(2, 198, 192)"),
    ((198, 192), "(198, 192)"),
])  # fmt: skip
def test_a_position_embedding_of_another_grid_is_refused(shape, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        adapt_position_embedding(torch.zeros(shape), (14, 14), (8, 8), 2)


# --- what does not fit


def test_unknown_options_name_the_known_ones(vit):
    with pytest.raises(ValueError, match="sum, mean; found 'max'"):
        from_vit(vit, SHORT, channels="max")
    with pytest.raises(ValueError, match="bilinear, nearest, reinit, none; found 'bicubic'"):
        from_vit(vit, SHORT, position="bicubic")


def test_another_width_is_refused_with_both_shapes(vit):
    with pytest.raises(ValueError, match=r"small224 .*\(384, 3, 16, 16\); found \(192, 3, 16, 16\)"):
        from_vit(vit, SHORT.replace(model_size="small224"))


def test_another_patch_is_refused(vit):
    with pytest.raises(ValueError, match="patches of 8x16 .*from scratch"):
        from_vit(vit, SHORT.replace(patch=(8, 16)))


def test_something_that_is_no_vit_is_refused():
    with pytest.raises(ValueError, match="not the weights of a timm ViT or DeiT: cls_token, pos_embed"):
        from_vit(nn.Linear(3, 4), SHORT)


def test_a_deeper_vit_is_refused(vit):
    state = dict(vit.state_dict())
    state["blocks.12.norm1.weight"] = torch.ones(192)
    with pytest.raises(ValueError, match=r"do not fit a tiny224 AST: blocks\.12\.norm1\.weight"):
        from_vit(state, SHORT)


def test_a_shallower_vit_is_refused(vit):
    state = {key: value for key, value in vit.state_dict().items() if not key.startswith("blocks.11.")}
    with pytest.raises(ValueError, match=r"do not fit a tiny224 AST: blocks\.11\."):
        from_vit(state, SHORT)


# --- AST to AST


@pytest.fixture(scope="module")
def sounding():
    """An AST whose head and positions are its own."""
    torch.manual_seed(2)
    return astlib.AST(SHORT.replace(fstride=10, tstride=10)).eval()


def test_adapting_to_the_same_grid_changes_nothing(sounding):
    same = transfer.adapt(sounding, sounding.cfg)
    assert same is not sounding
    for (name, before), after in zip(sounding.state_dict().items(), same.state_dict().values(), strict=True):
        assert torch.equal(before, after), name


@torch.inference_mode()
@pytest.mark.parametrize("changes", [
    {"input_tdim": 64}, {"input_tdim": 512}, {"input_fdim": 64}, {"input_fdim": 200},
    {"fstride": 16, "tstride": 16}, {"fstride": 8, "tstride": 12}, {"input_tdim": 100, "tstride": 16},
])  # fmt: skip
def test_adapting_to_another_grid(sounding, changes):
    cfg = sounding.cfg.replace(**changes)
    new = transfer.adapt(sounding, cfg).eval()
    source, (f, t) = astlib.token_grid(sounding.cfg), astlib.token_grid(cfg)
    assert new.patch_embed.proj.stride == (cfg.fstride, cfg.tstride)
    torch.testing.assert_close(new.pos_embed, original_rule(sounding.pos_embed, source, f, t, 2))
    for name, parameter in new.named_parameters():
        if name != "pos_embed":
            assert torch.equal(parameter, sounding.get_parameter(name)), name
    assert new(torch.randn(1, cfg.input_tdim, cfg.input_fdim)).shape == (1, 7)


def test_head_is_new_for_other_classes(sounding):
    for changes in ({"label_dim": 9}, {"labels": tuple("abcdefg")}):
        torch.manual_seed(5)
        new = transfer.adapt(sounding, sounding.cfg.replace(**changes))
        assert new.mlp_head[1].weight.shape == (new.cfg.label_dim, 192)
        assert new.mlp_head[1].weight.abs().max() > 0
        if new.cfg.label_dim == 7:
            assert not torch.equal(new.mlp_head[1].weight, sounding.mlp_head[1].weight)
        assert torch.equal(new.blocks[3].attn.qkv.weight, sounding.blocks[3].attn.qkv.weight)


def test_prefix_tokens_can_change(sounding):
    one = transfer.adapt(sounding, sounding.cfg.replace(prefix_tokens=1))
    assert one.pos_embed.shape[1] == sounding.pos_embed.shape[1] - 1
    two = transfer.adapt(one, sounding.cfg)
    assert torch.equal(two.pos_embed[:, 2:], sounding.pos_embed[:, 2:])
    assert not torch.equal(two.cls_token, two.dist_token)


def test_another_size_or_patch_cannot_be_adapted(sounding):
    for changes in ({"model_size": "small224"}, {"patch": (8, 8)}):
        with pytest.raises(ValueError, match="cannot turn a tiny224 AST"):
            transfer.adapt(sounding, sounding.cfg.replace(**changes))


# --- where weights are found


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Empty weight folders of this test's own, and a hub that cannot be reached."""
    monkeypatch.setenv("ASTLIB_WEIGHTS", str(tmp_path / "chosen"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def unreachable(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(timm, "create_model", unreachable)
    return {"chosen": tmp_path / "chosen", "cache": tmp_path / "cache" / "astlib" / "weights"}


def write(folder, name):
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({"name": torch.tensor([len(name)])}, folder / name)
    return folder / name


def test_nothing_found_is_none_and_says_where_it_looked(folders):
    assert transfer.find_vit("tiny224") is None
    with pytest.raises(WeightsNotFound) as error:
        transfer.load_vit("tiny224")
    message = str(error.value)
    assert "deit_tiny_distilled_patch16_224" in message and "ConnectionError: no route to host" in message
    assert str(folders["chosen"]) in message and str(folders["cache"]) in message
    assert isinstance(error.value, FileNotFoundError)


def test_the_chosen_folder_comes_before_the_cache(folders):
    cached = write(folders["cache"], "vit_tiny_patch16_224_in1k.safetensors")
    assert transfer.find_vit("tiny224") == cached
    chosen = write(folders["chosen"], "vit_tiny_patch16_224_in1k.safetensors")
    assert transfer.find_vit("tiny224") == chosen == transfer.find_vit("vit_tiny_patch16_224")
    assert transfer.find_vit("base384") is None
    assert transfer.load_vit("tiny224").keys() == {"name"}


def test_the_papers_weights_come_first(folders):
    write(folders["chosen"], "vit_tiny_patch16_224_in1k.safetensors")
    distilled = write(folders["chosen"], "deit_tiny_distilled_patch16_224.safetensors")
    assert transfer.find_vit("tiny224") == distilled


def test_another_training_of_a_name_is_found_by_its_whole_name_only(folders):
    others = [write(folders["chosen"], f"vit_tiny_patch16_224.{tag}.safetensors") for tag in ("augreg_in21k", "dino")]
    assert transfer.find_vit("tiny224") is None and transfer.find_vit("vit_tiny_patch16_224") is None
    assert transfer.find_vit("vit_tiny_patch16_224.dino") == others[1]
    tuned = write(folders["chosen"], "vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors")
    assert transfer.find_vit("tiny224") == tuned == transfer.find_vit("vit_tiny_patch16_224")


def test_weights_by_file(folders, tmp_path):
    path = write(tmp_path, "mine.safetensors")
    assert transfer.load_vit(path)["name"].item() == len("mine.safetensors")
    with pytest.raises(WeightsNotFound, match="no weights at .*other.safetensors"):
        transfer.load_vit(tmp_path / "other.safetensors")


def test_the_hub_is_asked_for_what_is_not_here(folders, monkeypatch):
    asked = []

    def hub(name, pretrained):
        asked.append((name, pretrained))
        return nn.Linear(1, 1)

    monkeypatch.setattr(timm, "create_model", hub)
    assert set(transfer.load_vit("tiny224")) == {"weight", "bias"}
    assert asked == [("deit_tiny_distilled_patch16_224", True)]


def test_finding_needs_no_home_cache_variable(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("ASTLIB_WEIGHTS", raising=False)
    assert [folder.parts[-3:] for folder in paths.weight_folders()] == [(".cache", "astlib", "weights")]
