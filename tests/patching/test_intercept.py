"""Finding, seeing, counting, nesting and restoring."""

import sys
import threading

import pytest
import torch
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils.checkpoint import checkpoint

from xattnmask.errors import PatchError, SiteCallCountError, SiteNotFoundError, SiteNotSeenError
from xattnmask.patching import CaptureProbabilities, MaskIntervention, SoftmaxCall, intercept
from xattnmask.patching.compiler import never_compiled
from xattnmask.sites import Site

HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def everything(batch):
    return slice(0, batch)


def enter(model, mask, rule="scale", **kwargs):
    rows = kwargs.pop("rows", everything)
    pairs = [(site, MaskIntervention(mask, rule)) for site in model.sites(4)]
    return intercept(model.backbone, pairs, rows, **kwargs)


def state(model):
    """Everything a patch could leave behind: attributes, hooks and torch's modes."""
    modules = [{k: (list(v) if isinstance(v, dict) else id(v)) for k, v in m.__dict__.items()}
               for m in model.backbone.modules()]  # fmt: skip
    return modules, _get_current_function_mode_stack()


@pytest.fixture
def zeros():
    return torch.zeros(1, 4)


def test_ones_and_zeros_through_a_backbone(toys, style):
    model = toys.build(style)
    clean = model.backbone(toys.x, toys.text)
    with enter(model, torch.ones(1, 4)) as record:
        assert torch.allclose(model.backbone(toys.x, toys.text), clean, atol=1e-6)
    assert record.forwards == {"layers.0.cross": 1, "layers.1.cross": 1}
    with enter(model, torch.zeros(1, 4)):
        assert torch.equal(model.backbone(toys.x, toys.text), toys.x)
    assert torch.equal(model.backbone(toys.x, toys.text), clean)


def test_an_unseen_call_names_the_site_and_the_remedy(toys, zeros):
    model = toys.build(toys.Kernel)
    with pytest.raises(SiteNotSeenError, match=r"layers\.0\.cross.*sdpa or eager"), enter(model, zeros):
        model.backbone(toys.x, toys.text)


def test_too_many_calls(toys, zeros):
    model = toys.build(toys.Twice)
    with pytest.raises(SiteCallCountError, match=r"made 2 .* declares 1"), enter(model, zeros):
        model.backbone(toys.x, toys.text)


def test_declared_calls_and_too_few(toys, zeros):
    model = toys.build(toys.Twice, calls=2)
    with enter(model, zeros):
        assert torch.equal(model.backbone(toys.x, toys.text), toys.x)
    model = toys.build(toys.Sdpa, calls=2)
    with pytest.raises(SiteCallCountError), enter(model, zeros):
        model.backbone(toys.x, toys.text)


def test_a_site_that_never_ran(toys, zeros):
    model = toys.build()
    with pytest.raises(SiteNotSeenError, match="no patched site ran"), enter(model, zeros):
        pass
    with pytest.raises(SiteNotSeenError, match=r"layers\.1\.cross"), enter(model, zeros):
        model.backbone.layers[0](toys.x, toys.text)
    with enter(model, zeros, strict=False):
        model.backbone.layers[0](toys.x, toys.text)


def test_a_missing_path_names_the_nearest_and_installs_nothing(toys, zeros):
    model = toys.build()
    model.sites(4).append(Site("layers.0.crossattn", 0))
    before = state(model)
    with pytest.raises(SiteNotFoundError, match=r"layers\.0\.cross"), enter(model, zeros):
        pass
    assert state(model) == before


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("inside", ["forward", "block"])
def test_everything_is_restored(toys, zeros, error, inside):
    model = toys.build()
    model.backbone.layers[0].cross.register_forward_hook(lambda *_: None)
    model.backbone.layers[1].cross.register_forward_pre_hook(lambda *_: None, with_kwargs=False)
    before, clean = state(model), model.backbone(toys.x, toys.text)

    def fail(*_):
        if error:
            raise error("mine")

    handle = model.backbone.layers[1].cross.to_k.register_forward_hook(fail) if inside == "forward" else None
    during = state(model) if handle else before
    try:
        with enter(model, zeros):
            model.backbone(toys.x, toys.text)
            fail()
    except BaseException as raised:
        assert type(raised) is error and raised.args == ("mine",)
    else:
        assert error is None
    assert state(model) == during
    if handle:
        handle.remove()
    assert state(model)[1] == []
    assert torch.equal(model.backbone(toys.x, toys.text), clean)


def test_hooks_added_inside_stay(toys, zeros):
    model = toys.build()
    with enter(model, zeros):
        handle = model.backbone.layers[0].cross.register_forward_hook(lambda *_: None)
        model.backbone(toys.x, toys.text)
    assert list(model.backbone.layers[0].cross._forward_hooks) == [handle.id]


@pytest.mark.parametrize("method", ["register_forward_hook", "register_forward_pre_hook"])
def test_an_install_that_fails_half_way(toys, zeros, method, monkeypatch):
    model = toys.build()
    before = state(model)

    def fail(*_, **__):
        raise MemoryError("mine")

    with monkeypatch.context() as patch:
        patch.setattr(model.backbone.layers[1].cross, method, fail, raising=False)
        with pytest.raises(MemoryError, match="mine"), enter(model, zeros):
            pass
    assert state(model) == before


def test_a_foreign_hook_that_raises_before_ours(toys, zeros):
    model = toys.build()

    def fail(*_):
        raise ValueError("mine")

    model.backbone.layers[1].cross.register_forward_pre_hook(fail)
    with pytest.raises(ValueError, match="mine"), enter(model, zeros):
        model.backbone(toys.x, toys.text)
    assert not _get_current_function_mode_stack()


def test_going_on_after_an_interrupt_inside_the_patch(toys):
    """The mode left by the interrupted forward must not mask twice."""
    model, mask = toys.build(), torch.full((1, 4), 0.5)
    with enter(model, mask):
        want = model.backbone(toys.x, toys.text)

    def fail(*_):
        raise KeyboardInterrupt

    with enter(model, mask):
        handle = model.backbone.layers[1].cross.to_k.register_forward_hook(fail)
        with pytest.raises(KeyboardInterrupt):
            model.backbone(toys.x, toys.text)
        handle.remove()
        assert torch.equal(model.backbone(toys.x, toys.text), want)
    assert not _get_current_function_mode_stack()


def test_someone_elses_mode_stays(toys, zeros):
    class Foreign(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    model = toys.build()

    def fail(*_):
        raise KeyboardInterrupt

    model.backbone.layers[0].cross.to_k.register_forward_hook(fail)
    with Foreign() as foreign:
        with pytest.raises(KeyboardInterrupt), enter(model, zeros):
            model.backbone(toys.x, toys.text)
        assert _get_current_function_mode_stack() == [foreign]


def test_an_error_in_flight_is_not_masked_by_ours(toys, zeros):
    model = toys.build()
    with pytest.raises(ZeroDivisionError), enter(model, zeros):
        raise ZeroDivisionError


def test_called_while_another_error_is_handled(toys, zeros):
    """Inside an ``except`` block, too, an unseen call is an error."""
    model = toys.build(toys.Kernel)
    try:
        raise ValueError
    except ValueError:
        with pytest.raises(SiteNotSeenError), enter(model, zeros):
            model.backbone(toys.x, toys.text)


SHAPES = [(1, 4), (1, 5, 4)]


@pytest.mark.parametrize("outer", SHAPES)
@pytest.mark.parametrize("inner", SHAPES)
@pytest.mark.parametrize("rows", [slice(0, 2), slice(0, 1), slice(1, 2)])
def test_nested_patches_multiply(toys, style, outer, inner, rows):
    """Also where the inner one splits the batch, which the outer then sees in parts."""
    model, first, second = toys.build(style), torch.rand(outer), torch.rand(inner)
    product = (first if first.ndim == 3 else first[:, None]) * (second if second.ndim == 3 else second[:, None])
    with enter(model, product.expand(1, 5, 4), rows=lambda batch: rows):
        want = model.backbone(toys.x, toys.text)
    before = state(model)
    with enter(model, first, rows=lambda batch: rows):
        with enter(model, second, rows=lambda batch: rows):
            got = model.backbone(toys.x, toys.text)
        with enter(model, first, rows=lambda batch: slice(0, 0)):
            model.backbone(toys.x, toys.text)
    assert torch.allclose(got, want, atol=1e-6)
    assert state(model) == before


def test_nested_patches_with_other_rows(toys, style):
    """The outer masks row 1 by its own mask row, the inner row 0; a split never mixes them up."""
    model, per_row, inner = toys.build(style), torch.rand(2, 5, 4), torch.rand(1, 5, 4)
    both = per_row.clone()
    both[:1] *= inner
    with enter(model, both):
        want = model.backbone(toys.x, toys.text)
    with enter(model, per_row), enter(model, inner, rows=lambda batch: slice(0, 1)):
        got = model.backbone(toys.x, toys.text)
    assert torch.allclose(got, want, atol=1e-6)


@pytest.mark.parametrize("inner", SHAPES)
def test_the_outer_sees_the_inner_softmax(toys, inner):
    model, seen = toys.build(layers=1), []

    def watch(call):
        seen.append((type(call), call.window.stop - call.window.start))
        return call.run()

    outer = intercept(model.backbone, [(model.sites(4)[0], watch)], everything)
    with outer, enter(model, torch.rand(inner), rows=lambda batch: slice(0, 1)):
        model.backbone(toys.x, toys.text)
    if len(inner) == 3:
        assert seen[0] == (SoftmaxCall, 1) and len(seen) == 2
    else:
        assert len(seen) == 1 and seen[0][1] == 2


def test_two_interventions_on_one_site_in_one_patch(toys, style):
    model = toys.build(style, layers=1)
    (site,) = model.sites(4)
    first, second = torch.rand(1, 5, 4), torch.rand(1, 5, 4)
    with enter(model, first * second):
        want = model.backbone(toys.x, toys.text)
    pairs = [(site, MaskIntervention(first)), (site, MaskIntervention(second))]
    with intercept(model.backbone, pairs, everything):
        got = model.backbone(toys.x, toys.text)
    assert torch.allclose(got, want, atol=1e-6)


def test_capture_around_and_inside_a_mask_sees_the_unmasked(toys, style):
    model, seen = toys.build(style, layers=1), []
    capture = [(model.sites(4)[0], CaptureProbabilities(lambda s, p: seen.append(p)))]
    mask = torch.rand(1, 5, 4)
    with intercept(model.backbone, capture, everything):
        model.backbone(toys.x, toys.text)
        with enter(model, mask):
            model.backbone(toys.x, toys.text)
    assert torch.allclose(seen[0], seen[1], atol=1e-6)
    with enter(model, mask), intercept(model.backbone, capture, everything):
        got = model.backbone(toys.x, toys.text)
    with enter(model, mask):
        assert torch.allclose(got, model.backbone(toys.x, toys.text), atol=1e-6)


def test_gradient_checkpointing(toys, style):
    model, mask = toys.build(style), torch.rand(1, 5, 4, requires_grad=True)

    def loss(wrap):
        x = toys.x
        for layer in model.backbone.layers:
            x = wrap(layer, x)
        return x.square().sum()

    with enter(model, mask):
        (want,) = torch.autograd.grad(loss(lambda layer, x: layer(x, toys.text)), mask)
        kept = loss(lambda layer, x: checkpoint(layer, x, toys.text, use_reentrant=False))
        (got,) = torch.autograd.grad(kept, mask)
    assert torch.allclose(got, want, atol=1e-6)


def test_threads_have_states_of_their_own(toys):
    model, mask = toys.build(), torch.rand(1, 5, 4)
    with enter(model, mask):
        want = model.backbone(toys.x, toys.text)
        results = [None] * 4

        def work(i):
            for _ in range(5):
                results[i] = model.backbone(toys.x, toys.text)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(torch.equal(r, want) for r in results)


def test_compiled_before_is_refused(toys, zeros):
    model = toys.build()
    model.backbone.layers[1].compile(backend="eager")
    with pytest.raises(PatchError, match=r"layers\.1\.cross was compiled before"), enter(model, zeros):
        pass
    model = toys.build()
    model.backbone = torch.compile(model.backbone, backend="eager")
    with pytest.raises(PatchError, match="compiled before"), enter(model, zeros):
        pass


def test_a_graph_compiled_elsewhere_is_caught(toys, zeros):
    model = toys.build()
    compiled = torch.compile(model.backbone, backend="eager")
    compiled(toys.x, toys.text)
    with pytest.raises(SiteNotSeenError), enter(model, zeros):
        compiled(toys.x, toys.text)


@pytest.mark.parametrize("shape", SHAPES)
def test_compiling_inside_is_exact(toys, style, shape):
    torch._dynamo.reset()
    model, mask = toys.build(style), torch.rand(shape)
    with enter(model, mask):
        want = model.backbone(toys.x, toys.text)
        compiled = torch.compile(model.backbone, backend="eager")
        for _ in range(2):
            assert torch.allclose(compiled(toys.x, toys.text), want, atol=1e-6)
    assert torch.allclose(compiled(toys.x, toys.text), model.backbone(toys.x, toys.text), atol=1e-6)
    with enter(model, mask * 0):
        assert torch.allclose(compiled(toys.x, toys.text), toys.x, atol=1e-6)


def test_compiling_inside_leaves_our_own_code_out(toys):
    """Or the compiler would trace our hooks, modes and interventions, and compute something else."""
    torch._dynamo.reset()
    model, mask, graphs = toys.build(), torch.rand(1, 5, 4), []

    def keep(graph, inputs):
        graphs.append(graph.code)
        return graph.forward

    with enter(model, mask):
        want = model.backbone(toys.x, toys.text)
        assert torch.allclose(torch.compile(model.backbone, backend=keep)(toys.x, toys.text), want, atol=1e-6)
    assert any("add" in code for code in graphs)
    assert not any("softmax" in code for code in graphs)


def test_without_the_compilers_internals_its_own_decorator_is_used(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch._dynamo.types", None)

    def function(x):
        return x + 1

    wrapped = never_compiled(function)
    assert wrapped is not function and wrapped(1) == 2
    monkeypatch.undo()
    assert never_compiled(function) is function
