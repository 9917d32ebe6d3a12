"""Attention maps against the blocks they claim to show and against transformers'; the rest against plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity
from torch.nn.functional import logsigmoid

import astlib
from astlib import convert, data, explain, plots
from astlib.frontend import Features

TINY = astlib.ASTConfig(label_dim=6, fstride=16, tstride=16, input_fdim=48, input_tdim=64, model_size="tiny224")
GRIDS = {
    "no overlap": TINY,
    "overlap": TINY.replace(fstride=10, tstride=10),
    "one class token": TINY.replace(prefix_tokens=1),
    "another width": TINY.replace(model_size="small224", tstride=12),
}


def network(cfg, seed=0):
    """Random weights that are not at their initial values: there, biases are zero and attention nearly uniform."""
    torch.manual_seed(seed)
    ast = astlib.AST(cfg)
    with torch.no_grad():
        for parameter in ast.parameters():
            parameter.add_(0.08 * torch.randn_like(parameter))
    return ast.eval()


def noise(cfg, clips=2, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return 0.5 * torch.randn(clips, cfg.input_tdim, cfg.input_fdim, generator=generator)


# --- attention maps


@pytest.mark.parametrize("cfg", GRIDS.values(), ids=GRIDS)
def test_maps_times_values_are_what_every_block_adds(cfg):
    """The claim of a map: the values weighted by it, through `proj`, are the attention's output."""
    ast, mel, inside = network(cfg), noise(cfg), []
    for block in ast.blocks:
        block.attn.register_forward_hook(lambda _, inputs, result: inside.append((inputs[0], result)))
    with torch.no_grad():
        ast(mel)
    seen = list(inside)
    maps = explain.attention_maps(ast, mel)
    f, t = astlib.token_grid(cfg)
    tokens = cfg.prefix_tokens + f * t
    assert maps.shape == (2, 12, cfg.heads, tokens, tokens) and not maps.requires_grad
    torch.testing.assert_close(maps.sum(dim=-1), torch.ones(2, 12, cfg.heads, tokens))
    assert maps.min() >= 0 and maps.std() > 0.1 / tokens, "nearly uniform weights would agree with anything"
    for layer, (block, (normed, result)) in enumerate(zip(ast.blocks, seen, strict=True)):
        values = block.attn.qkv(normed)[..., 2 * cfg.dim :]  # rows q, k, v
        values = values.reshape(2, tokens, cfg.heads, 64).transpose(1, 2)
        found = (maps[:, layer] @ values).transpose(1, 2).reshape(2, tokens, cfg.dim)
        torch.testing.assert_close(block.attn.proj(found), result, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["no overlap", "overlap", "another width"])
def test_maps_are_those_of_transformers(name):
    ast, mel = network(GRIDS[name]), noise(GRIDS[name])
    theirs = convert.to_huggingface(ast)
    theirs.set_attn_implementation("eager")  # with the fused kernel it has no maps to give
    with torch.inference_mode():
        attentions = torch.stack(theirs(mel, output_attentions=True).attentions, dim=1)
    torch.testing.assert_close(explain.attention_maps(ast, mel), attentions, atol=1e-5, rtol=0)


def test_the_embedded_models_maps_are_those_of_transformers_on_a_sound():
    ast = astlib.AST.from_pretrained("ast-tiny-esc50")
    mel = Features(ast.cfg)(data.Synthetic(split="test").waveform(3)[None])
    theirs = convert.to_huggingface(ast)
    theirs.set_attn_implementation("eager")
    with torch.inference_mode():
        attentions = torch.stack(theirs(mel, output_attentions=True).attentions, dim=1)
    torch.testing.assert_close(explain.attention_maps(ast, mel), attentions, atol=1e-5, rtol=0)


def test_the_last_map_does_not_depend_on_what_was_asked():
    """No class enters: another head on the same encoder leaves every map as it is."""
    ast, mel = network(TINY), noise(TINY)
    before = explain.attention_maps(ast, mel)
    with torch.no_grad():
        ast.mlp_head[1].weight.copy_(torch.randn(6, 192))
    assert torch.equal(explain.attention_maps(ast, mel), before)


def test_a_spectrogram_of_another_size_is_refused():
    with pytest.raises(ValueError, match="is it transposed"):
        explain.attention_maps(network(TINY), torch.zeros(1, 48, 64))
    with pytest.raises(ValueError, match="is it transposed"):
        explain.occlusion(network(TINY), torch.zeros(1, 48, 64), 0)


# --- rollout


def random_maps(layers, heads, tokens, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(2, layers, heads, tokens, tokens, generator=generator).double()).softmax(dim=-1)


def test_rollout_is_the_product_written_out():
    maps = random_maps(4, 3, 7)
    for clip, result in zip(maps.numpy(), explain.rollout(maps).numpy(), strict=True):
        expected = np.eye(7)
        for layer in clip:  # the first layer acts on the input, the last comes last
            expected = (0.5 * layer.mean(axis=0) + 0.5 * np.eye(7)) @ expected
        np.testing.assert_allclose(result, expected, atol=1e-12)


@given(st.integers(1, 12), st.integers(1, 4), st.integers(2, 9), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_rows_of_a_rollout_sum_to_one_whatever_the_order_of_the_tokens(layers, heads, tokens, seed):
    maps = random_maps(layers, heads, tokens, seed)
    result = explain.rollout(maps)
    assert result.min() >= 0
    torch.testing.assert_close(result.sum(dim=-1), torch.ones(2, tokens).double())
    order = torch.randperm(tokens, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(explain.rollout(maps[..., order, :][..., order]), result[:, order][:, :, order])


def test_rollout_of_extremes():
    """A token that attends only to itself stays itself; uniform weights spread half of the rest in every layer."""
    eye = torch.eye(5).expand(1, 12, 3, 5, 5)
    torch.testing.assert_close(explain.rollout(eye), torch.eye(5)[None])
    stays = 0.5**12
    torch.testing.assert_close(
        explain.rollout(torch.full((1, 12, 3, 5, 5), 0.2)), (stays * torch.eye(5) + (1 - stays) / 5)[None]
    )


@pytest.mark.parametrize("shape", [(12, 3, 5, 5), (1, 12, 3, 5, 4)])
def test_rollout_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match=r"\(batch, layers, heads, tokens, tokens\)"):
        explain.rollout(torch.zeros(shape))


# --- over the spectrogram


@given(st.integers(4, 16), st.integers(4, 16), st.integers(16, 60), st.integers(16, 60), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_every_cell_has_the_mean_of_the_patches_over_it(fstride, tstride, mels, frames, seed):
    cfg = TINY.replace(fstride=fstride, tstride=tstride, input_fdim=mels, input_tdim=frames)
    f, t = astlib.token_grid(cfg)
    weights = torch.rand(2, f * t, generator=torch.Generator().manual_seed(seed))
    total, covered = np.zeros((2, frames, mels)), np.zeros((frames, mels))
    for row in range(f):
        for column in range(t):
            cells = (slice(column * tstride, column * tstride + 16), slice(row * fstride, row * fstride + 16))
            total[:, *cells] += weights[:, row * t + column, None, None].numpy()
            covered[cells] += 1
    expected = np.where(covered > 0, total / np.maximum(covered, 1), np.nan)
    np.testing.assert_allclose(explain.over_spectrogram(weights, cfg).numpy(), expected, rtol=1e-5)


def test_the_order_is_that_of_the_models_own_patches():
    """A patch's number lands on exactly the cells that its token is made of, told by a gradient."""
    cfg = GRIDS["overlap"]
    ast, (f, t) = network(cfg), astlib.token_grid(cfg)
    for patch in (0, 1, t, f * t - 1):
        mel = noise(cfg, clips=1).requires_grad_()
        ast.patch_embed(mel)[0, patch].sum().backward()
        one = torch.zeros(1, f * t)
        one[0, patch] = 1
        assert torch.equal(explain.over_spectrogram(one, cfg).nan_to_num() > 0, mel.grad != 0)


def test_prefix_tokens_are_refused():
    with pytest.raises(ValueError, match="3 x 4 patches.*prefix tokens have no place"):
        explain.over_spectrogram(torch.zeros(1, 2 + 12), TINY)


# --- positions


@pytest.mark.parametrize("prefix", [1, 2])
def test_position_similarity_is_scikit_learns(prefix):
    ast = network(TINY.replace(prefix_tokens=prefix))
    similar = explain.position_similarity(ast)
    assert similar.shape == (12, 12) and not similar.requires_grad
    np.testing.assert_allclose(similar, cosine_similarity(ast.pos_embed.detach()[0, prefix:]), atol=1e-5)


# --- occlusion


class Mean(astlib.AST):
    """Logit of class i: the sum of the cells in mel bin 10 i, so that every answer can be computed by hand."""

    def forward(self, mel):
        self.check_input(mel)
        return mel[:, :, ::10].sum(dim=1)[:, : self.cfg.label_dim]


@pytest.mark.parametrize("multi_label", [True, False])
def test_occlusion_by_hand(multi_label):
    cfg = TINY.replace(label_dim=4, multi_label=multi_label, fill="silence", mean=-5.0, std=3.0)
    ast, mel = Mean(cfg), 0.1 * noise(cfg)
    fill = (-15.942385 + 5.0) / 6.0
    falls = explain.occlusion(ast, mel, label=1, size=(24, 10))  # the last tile in time has 16 frames, in mels 8
    assert falls.shape == mel.shape
    before, after = ast(mel), ast(mel)
    after[:, 1] += (fill - mel[:, 48:64, 10]).sum(dim=1)  # tile 2, 1: its only cells that count are in bin 10
    change = [logsigmoid(z) if multi_label else z.log_softmax(dim=1) for z in (before, after)]
    expected = (change[0] - change[1])[:, 1]
    torch.testing.assert_close(falls[:, 48:64, 10:20], expected[:, None, None].expand(2, 16, 10), atol=1e-4, rtol=1e-4)
    elsewhere = falls[:, 48:64, 40:]  # bins 40 to 47 hold no bin that counts
    torch.testing.assert_close(elsewhere, torch.zeros_like(elsewhere), atol=1e-5, rtol=0)


def test_occlusion_takes_a_label_a_clip_and_clips_do_not_meet():
    ast, mel = network(TINY), noise(TINY)
    both = explain.occlusion(ast, mel, torch.tensor([2, 5]))
    one_by_one = torch.cat([explain.occlusion(ast, mel[:1], 2), explain.occlusion(ast, mel[1:], 5)])
    torch.testing.assert_close(both, one_by_one, atol=1e-4, rtol=1e-3)
    assert both.std() > 1e-4


def test_hiding_what_is_padding_already_changes_nothing():
    ast = network(TINY)
    padding = torch.full((1, 64, 48), (0 - TINY.mean) / (2 * TINY.std))
    assert explain.occlusion(ast, padding, 0).abs().max() < 1e-4


@pytest.mark.parametrize(
    "change, message",
    [({"label": 6}, "label must be 0 to 5"), ({"label": -1}, "label must be 0 to 5"), ({"size": (0, 8)}, "at least 1")],
)
def test_occlusion_refuses_what_is_not_there(change, message):
    with pytest.raises(ValueError, match=message):
        explain.occlusion(network(TINY), noise(TINY), **{"label": 0, **change})


# --- the picture


def test_the_picture_shows_every_weight_over_its_own_cell():
    values = noise(TINY, clips=1)[0]
    weights = explain.over_spectrogram(torch.rand(1, 12, generator=torch.Generator().manual_seed(0)), TINY)
    grey, colour = plots.attention(values, weights).axes[0].images
    np.testing.assert_array_equal(grey.get_array(), values.T)
    np.testing.assert_array_equal(colour.get_array(), weights[0].T)
    assert grey.get_extent() == colour.get_extent()
    assert colour.get_clim() == (0, weights.max().item())
    assert colour.cmap(0.0)[3] == 0, "no weight, no colour"
    signed = plots.attention(values, weights[0] - 0.5).axes[0].images[1]
    assert signed.get_clim()[0] == -signed.get_clim()[1] and signed.cmap(0.5)[3] < 0.02
    assert plots.png(plots.attention(values, weights)).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="differ in shape"):
        plots.attention(values, weights[:, :32])


# --- real clips


@torch.inference_mode()
def test_what_the_trained_model_attends_to_matters_to_it(esc50_root):
    """Hiding the tenth of a clip that rollout points at costs more than hiding the tenth it points away from."""
    ast = astlib.AST.from_pretrained("ast-tiny-esc50")
    clips = data.ESC50(esc50_root, fold=1, split="test").select(rows=range(0, 400, 25))
    features = Features(ast.cfg)
    mel = torch.cat([features(clips.waveform(i)[None]) for i in range(len(clips))])
    before = ast(mel).softmax(dim=1)
    said = before.argmax(dim=1, keepdim=True)
    looked = explain.rollout(explain.attention_maps(ast, mel))[:, :2, 2:].mean(dim=1)
    columns = looked.reshape(len(mel), 8, 32).sum(dim=1)[:, :31]  # the 32nd is padding
    falls = []
    for most in (True, False):
        chosen = torch.zeros(len(mel), 32, dtype=torch.bool).scatter_(1, columns.topk(3, largest=most).indices, True)
        hidden = mel.masked_fill(chosen.repeat_interleave(16, dim=1)[:, :, None], -ast.cfg.mean / (2 * ast.cfg.std))
        falls.append((before - ast(hidden).softmax(dim=1)).gather(1, said).mean().item())
    assert falls[0] > falls[1] + 0.03
