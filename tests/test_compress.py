"""Each technique alone, on the tiny network: what it promises is counted in the weights, and its argument stays."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from tests.tiny import Tiny
from tvm_bench.compression import codebook_file, ptq, qat
from tvm_bench.compression.distillation import distillation_loss
from tvm_bench.compression.layers import weighted
from tvm_bench.compression.structured import prune_structured
from tvm_bench.compression.unstructured import prune_two_of_four, prune_unstructured, zeros_kept
from tvm_bench.compression.weight_sharing import share_weights
from tvm_bench.exporters import onnx_file, qdq
from tvm_bench.jobs.verbs import layers
from tvm_bench.models.shapes import reshape, shapes_of
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.tensors import TensorSpec, image_input

SHAPE = (3, 32, 32)
INPUTS = [image_input(SHAPE)]


@pytest.fixture
def module():
    torch.manual_seed(1)
    tiny = Tiny()
    for each in tiny.modules():
        if isinstance(each, nn.BatchNorm2d):  # as after a training, so that folding has something to fold
            each.running_mean.uniform_(-0.2, 0.2)
            each.running_var.uniform_(0.5, 2)
    return tiny.eval()


@pytest.fixture
def unchanged(module):
    before = copy.deepcopy(module.state_dict())
    yield
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


@pytest.fixture
def pictures():
    return torch.from_numpy(np.random.default_rng(0).normal(size=(64, *SHAPE)).astype(np.float32))


def batches(pictures):
    return [(part.numpy(),) for part in pictures.split(16)]


@pytest.mark.parametrize("iterations", [1, 2])
def test_structured_pruning_removes_filters_and_keeps_the_shortcut(module, unchanged, pictures, iterations):
    seen = []
    pruned = prune_structured(
        module, SHAPE, share=0.5, iterations=iterations, train=lambda m: seen.append(m.stem[0].out_channels)
    )
    assert seen == ([8] if iterations == 1 else [12, 8])
    assert pruned.stem[0].weight.shape == (8, 3, 3, 3) and pruned.block[0].weight.shape == (8, 8, 3, 3)
    assert pruned.head.weight.shape == (10, 8) and pruned(pictures).shape == (64, 10)


def test_much_of_a_wide_network_can_go():
    """Rounded to whole registers, a tenth of 64 filters would be none, and all of them stay."""
    shape = (3, 8, 8)
    wide = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 128, 3), nn.ReLU(), nn.Flatten())
    wide.append(nn.Linear(128 * 4 * 4, 10))
    pruned = prune_structured(wide, shape, share=0.9)
    assert pruned[0].out_channels == 6 and pruned[2].weight.shape == (12, 6, 3, 3)
    assert prune_structured(wide, shape, share=0.55)[0].out_channels % 8 == 0


def test_the_weakest_filters_go(module):
    strong = [1, 3, 4, 7, 8, 10, 12, 15]
    with torch.no_grad():
        for layer in (module.stem[0], module.block[0]):
            layer.weight.fill_(0.01)
            layer.weight[strong] = 1.0
    pruned = prune_structured(module, SHAPE, share=0.5)
    assert (pruned.stem[0].weight == 1).all()
    assert torch.equal(pruned.stem[1].running_mean, module.stem[1].running_mean[strong])


@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("share", [0.5, 0.75, 0.9])
def test_unstructured_pruning_zeroes_the_smallest(module, unchanged, share, iterations):
    pruned = prune_unstructured(module, share=share, iterations=iterations)
    for name, layer in weighted(pruned).items():
        weight, dense = layer.weight.detach(), module.get_submodule(name).weight.detach()
        assert (weight == 0).float().mean().item() == pytest.approx(share, abs=0.01)
        assert dense[weight == 0].abs().max() <= dense[weight != 0].abs().min()
    assert pruned.state_dict().keys() == module.state_dict().keys(), "torch's masks were left in it"


def test_two_of_four_in_every_group(module, unchanged):
    pruned = prune_two_of_four(module, iterations=2)
    groups = pruned.block[0].weight.detach().movedim(1, -1).reshape(-1, 4)
    assert ((groups != 0).sum(1) == 2).all()
    kept = module.block[0].weight.detach().movedim(1, -1).reshape(-1, 4).abs().sort(1).values[:, 2:].sum()
    assert groups.abs().sum() == pytest.approx(kept.item(), rel=1e-5), "not the largest two were kept"
    assert (pruned.stem[0].weight != 0).all(), "three input channels have no groups of four"


def test_training_keeps_the_zeros(module, pictures):
    pruned = prune_unstructured(module, share=0.9)
    zeros = {name: layer.weight == 0 for name, layer in weighted(pruned).items()}
    put_back, optimizer = zeros_kept(pruned), torch.optim.SGD(pruned.parameters(), 0.1, 0.9)
    for _ in range(3):
        pruned(pictures).square().sum().backward()
        optimizer.step()
        put_back(pruned)
    for name, layer in weighted(pruned).items():
        assert (layer.weight[zeros[name]] == 0).all() and (layer.weight != 0).any()


def test_layers_that_cannot_be_pruned_are_named(module):
    for names, words in (
        (("stem.1",), "BatchNorm2d"),
        (("stem.O",), "Did you mean stem.0"),
        (("head",), "they are the classes"),
        (("stem.0",), "shortcut"),
    ):
        with pytest.raises(UserError, match=words):
            prune_structured(
                module, SHAPE, share=0.5, iterations=3, layers=names, train=lambda _: pytest.fail("trained")
            )
    with pytest.raises(UserError, match="no multiple of four"):
        prune_two_of_four(module, layers=("stem.0",))
    with pytest.raises(UserError, match="nothing to prune"):
        prune_unstructured(nn.Sequential(nn.ReLU()), share=0.5)
    only = prune_unstructured(module, share=0.5, layers=("block.0",))
    assert (only.block[0].weight == 0).any() and (only.stem[0].weight != 0).all()


@pytest.mark.parametrize("clusters", [256, 16])
def test_weights_are_shared_and_the_file_is_smaller(module, unchanged, pictures, tmp_path, clusters):
    shared = share_weights(prune_unstructured(module, share=0.5), clusters=clusters)
    for name, layer in weighted(shared).items():
        assert layer.weight.unique().numel() <= clusters
        assert (layer.weight == 0).float().mean() == pytest.approx(0.5, abs=0.01), name
    path, dense = tmp_path / "weights.safetensors", tmp_path / "dense.safetensors"
    codebook_file.save(shared, path, recipe="kmeans")
    codebook_file.save(module, dense, recipe="")
    assert path.stat().st_size < (0.6 if clusters == 256 else 0.45) * dense.stat().st_size
    again = codebook_file.load(path, "tests.tiny:cnn", shape=SHAPE, classes=10)
    assert torch.equal(again(pictures), shared(pictures))


def test_clusters_are_better_than_equal_steps(module):
    weights = torch.nn.init.normal_(module.block[0].weight.detach(), std=0.1)
    shared = share_weights(module, clusters=16).block[0].weight.detach()
    step = (weights.max() - weights.min()) / 15
    uniform = ((weights - weights.min()) / step).round() * step + weights.min()
    assert (shared - weights).square().mean() < 0.8 * (uniform - weights).square().mean()


def test_damaged_weights_are_an_error(module, tmp_path):
    path = tmp_path / "weights.safetensors"
    codebook_file.save(module, path, recipe="")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="no file of weights"):
        codebook_file.load(path, "tests.tiny:cnn", shape=SHAPE, classes=10)


def test_a_pruned_network_is_built_again_from_its_shapes(module, pictures):
    pruned = prune_structured(module, SHAPE, share=0.75)
    again = Tiny()
    reshape(again, shapes_of(pruned))
    again.load_state_dict(pruned.state_dict())
    assert torch.equal(again.eval()(pictures), pruned(pictures))
    assert again.stem[0].out_channels == 4 and again.head.in_features == 4


def test_a_pruned_network_with_layer_norm_is_built_again(pictures):
    class OverChannels(nn.LayerNorm):
        """As ConvNeXt has it."""

        def forward(self, images):
            return super().forward(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def network():
        tiny = Tiny()
        tiny.stem[1], tiny.block[1] = OverChannels(16), OverChannels(16)
        return tiny.eval()

    pruned, again = prune_structured(network(), SHAPE, share=0.5), network()
    reshape(again, shapes_of(pruned))
    again.load_state_dict(pruned.state_dict())
    assert again.stem[1].normalized_shape == (8,)
    assert torch.equal(again(pictures), pruned(pictures))


def test_distillation_follows_the_teacher(module, pictures):
    teacher, student = Tiny().eval(), copy.deepcopy(module).train()
    labels = torch.zeros(64, dtype=torch.long)
    loss = distillation_loss(teacher, temperature=4.0, alpha=1.0)
    assert loss(teacher, pictures, labels).item() == pytest.approx(0, abs=1e-6)
    plain = distillation_loss(teacher, alpha=0.0)(student, pictures, labels)
    assert plain.item() == pytest.approx(nn.functional.cross_entropy(student(pictures), labels).item())
    first, optimizer = loss(student, pictures, labels).item(), torch.optim.SGD(student.parameters(), 0.1, 0.9)
    for _ in range(20):
        optimizer.zero_grad()
        loss(student, pictures, labels).backward()
        optimizer.step()
    assert loss(student, pictures, labels).item() < 0.5 * first
    assert all(parameter.grad is None for parameter in teacher.parameters())


@pytest.mark.parametrize("observer", ["minmax", "histogram", "entropy"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_static_quantization_by_torch(module, unchanged, pictures, observer, per_channel):
    quantized = ptq.quantize_static(module, batches(pictures), INPUTS, per_channel=per_channel, observer=observer)
    weight = quantized.get_submodule("block.0").weight()
    assert weight.dtype == torch.qint8
    assert (weight.qscheme() == torch.per_channel_affine) == per_channel
    error = (quantized(pictures) - module(pictures)).square().mean() / module(pictures).square().mean()
    assert 0 < error < 0.05
    again = ptq.skeleton(module, INPUTS, observer=observer)
    again.load_state_dict(quantized.state_dict())
    assert torch.equal(again(pictures), quantized(pictures))


class Residual(nn.Module):
    """A tensor with two readers, of which layer norm always has a histogram observer."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(6)

    def forward(self, x):
        swapped = x.transpose(1, 2).swapaxes(-1, -2).relu().swapaxes(-1, -2)
        return swapped + self.norm(swapped)


@pytest.mark.parametrize("observer", ["minmax", "histogram", "entropy"])
def test_a_tensor_with_two_readers_is_quantized_in_the_same_places_again(observer):
    inputs, x = [TensorSpec("x", (1, 6, 5))], torch.randn(1, 6, 5)
    quantized = ptq.quantize_static(Residual().eval(), [(x.numpy(),)] * 2, inputs, observer=observer)
    again = ptq.skeleton(Residual(), inputs, observer=observer)
    again.load_state_dict(quantized.state_dict())
    assert torch.equal(again(x), quantized(x))


@pytest.mark.parametrize("groups", [1, 128])
def test_full_scale_sums_do_not_overflow(groups):
    """The largest activations times the largest weights, by each of the engine's kernels."""
    module = nn.Sequential(nn.Conv2d(128, 128, 3, padding=1, groups=groups, bias=False)).eval()
    nn.init.ones_(module[0].weight)
    largest = torch.ones(16, 128, 8, 8)
    quantized = ptq.quantize_static(module, [(largest.numpy(),)], [image_input((128, 8, 8))])
    torch.testing.assert_close(quantized(largest), module(largest), rtol=0.02, atol=0)
    assert quantized.get_submodule("0").weight().int_repr().max() == (
        127 if groups == 1 and "avx512vnni" in ptq.cpu.host_features() else 64
    )


@pytest.mark.parametrize(("feature", "few", "many"), [("avx512vnni", 127, 64), ("avxvnni", 64, 64)])
def test_weights_keep_eight_bits_where_the_engine_can_sum_them(feature, few, many, monkeypatch):
    monkeypatch.setattr(ptq.cpu, "host_features", lambda: frozenset({feature}))
    module = nn.Sequential(nn.Conv2d(128, 128, 1, groups=64), nn.Conv2d(128, 128, 1, groups=128)).eval()
    quantized = ptq.quantize_static(module, [(torch.rand(4, 128, 4, 4).numpy(),)], [image_input((128, 4, 4))])
    assert [quantized.get_submodule(name).weight().int_repr().max() for name in "01"] == [few, many]


def test_observers_find_other_ranges(module, pictures):
    module.stem[0].weight.data *= 5
    pictures[0, :, :4, :4] = 60  # outliers, which min-max takes for the range
    scales = {
        name: ptq.quantize_static(module, batches(pictures), INPUTS, observer=name).stem_0_input_scale_0.item()
        for name in ("minmax", "histogram", "entropy")
    }
    assert scales["entropy"] < 0.7 * scales["minmax"] and scales["histogram"] <= scales["minmax"]


@pytest.mark.parametrize("options", [("minmax", True), ("histogram", True), ("entropy", False)])
def test_static_quantization_of_onnx(module, pictures, tmp_path, options):
    import onnx
    import onnxruntime

    observer, per_channel = options
    onnx_file.save_from_module(module, tmp_path / "fp32.onnx", [image_input(SHAPE, 16)])
    qdq.quantize(
        tmp_path / "fp32.onnx", tmp_path / "int8.onnx", batches(pictures), vnni=True, per_channel=per_channel,
        observer=observer,
    )  # fmt: skip
    scales = [each.dims for each in onnx.load(tmp_path / "int8.onnx").graph.initializer if "scale" in each.name]
    assert scales and any(list(dims) == [16] for dims in scales) == per_channel
    session = onnxruntime.InferenceSession(tmp_path / "int8.onnx")
    found, wanted = session.run(None, {"input": pictures[:16].numpy()})[0], module(pictures[:16]).detach().numpy()
    assert 0 < np.square(found - wanted).mean() / np.square(wanted).mean() < 0.05


def test_calibration_that_is_empty_or_does_not_fit(module, pictures):
    with pytest.raises(UserError, match="empty"):
        ptq.quantize_static(module, [], INPUTS)
    with pytest.raises(UserError, match=r"\(3, 16, 16\)"):
        ptq.quantize_static(module, [(pictures[:, :, :16, :16].numpy(),)], INPUTS)


@pytest.mark.parametrize("per_channel", [True, False])
def test_quantization_aware_training_learns_and_is_exported_alike(module, unchanged, pictures, tmp_path, per_channel):
    import onnxruntime

    # Pure noise looks alike after pooling: its answers would be lost in the rounding.
    pictures = pictures + 2 * torch.from_numpy(np.random.default_rng(1).normal(size=(64, 3, 1, 1)).astype(np.float32))
    labels = module(pictures).argmax(1)
    losses, simulated = [], []

    def train(prepared):
        optimizer = torch.optim.SGD(prepared.parameters(), 0.05, 0.9)
        for _ in range(40):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(prepared(pictures), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        for _ in range(300):  # the ranges follow slowly, and what lies outside is clipped in the simulation only
            prepared(pictures)
        simulated.append(prepared.eval()(pictures).detach())
        learned = copy.deepcopy(prepared.state_dict())
        prepared(10 * pictures)  # as a validation does
        assert all(torch.equal(value, learned[name]) for name, value in prepared.state_dict().items())

    quantized = qat.quantize_aware(module, INPUTS, train, per_channel=per_channel)
    assert losses[-1] < 0.7 * losses[0]
    with torch.inference_mode():
        answers = quantized(pictures)
    loss = nn.functional.cross_entropy(simulated[0], labels).item()
    assert nn.functional.cross_entropy(answers, labels).item() == pytest.approx(loss, rel=0.1)
    assert (quantized.get_submodule("block.0").weight().qscheme() == torch.per_channel_affine) == per_channel
    again = ptq.skeleton(module, INPUTS, observer="minmax")
    again.load_state_dict(quantized.state_dict())
    assert torch.equal(again(pictures), answers)
    onnx_file.save_from_module(quantized, tmp_path / "qat.onnx", [image_input(SHAPE, 64)])
    found = onnxruntime.InferenceSession(tmp_path / "qat.onnx").run(None, {"input": pictures.numpy()})[0]
    assert (found.argmax(1) == answers.argmax(1).numpy()).mean() > 0.95


def test_noise_between_signals():
    signal = torch.tensor([3.0, 4.0])
    assert layers._noise(signal, signal) == 0 and layers._noise(signal, torch.zeros(3)) is None
    assert layers._noise(signal, torch.tensor([3.0, 3.5])) == pytest.approx(0.01)


def test_excluded_operators_and_nodes_stay_fp32(module, pictures, tmp_path):
    import onnx

    onnx_file.save_from_module(module, tmp_path / "fp32.onnx", [image_input(SHAPE, 16)])

    def quantized(*excluded):
        qdq.quantize(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", batches(pictures), vnni=True, excluded=excluded)
        nodes = onnx.load(tmp_path / "int8.onnx").graph.node
        makers = {name: node.op_type for node in nodes for name in node.output}
        return {node.name for node in nodes if {makers.get(name) for name in node.input} == {"DequantizeLinear"}}

    everything = quantized()
    assert {"/stem/stem.0/Conv", "/block/block.0/Conv", "/Add", "/head/Gemm"} <= everything
    assert everything - quantized("Conv", "/head/Gemm") >= {"/stem/stem.0/Conv", "/block/block.0/Conv", "/head/Gemm"}
    assert "/block/block.0/Conv" in quantized("/stem/stem.0/Conv")
    with pytest.raises(UserError, match="unknown operator or node '/head/gemm'. Did you mean /head/Gemm"):
        quantized("/head/gemm")
    assert qdq.method(excluded=("Conv",))["excluded"] == ["Conv"]
