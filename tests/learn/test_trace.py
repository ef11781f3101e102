"""The tracer counts what a training step does, per operator class, without running anything."""

import time

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fedsim.errors import InputError
from fedsim.learn.trace import affine_forward, affine_load, trace_forward, trace_step
from fedsim.work import Load, Op, OpClass


def cnn() -> nn.Module:
    """McMahan's network for 28 x 28 digits."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 10),
    )  # fmt: skip


def resnet() -> nn.Module:
    return torchvision.models.resnet18(num_classes=10)


def vit() -> nn.Module:
    return torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=10)


def step(module: nn.Module, *shape: int, **options: object) -> Load:
    return trace_step(module, (torch.empty(shape),), torch.zeros(shape[0], dtype=torch.long), **options)


def one(module: nn.Module, kind: OpClass, *shape: int) -> Op:
    return step(nn.Sequential(module, nn.AdaptiveAvgPool2d(1), nn.Flatten()), *shape).within(kind)


def test_first_convolution_wants_no_gradient_of_its_input() -> None:
    forward = 2 * 10 * (32 * 28 * 28 * 25 + 64 * 14 * 14 * 25 * 32)
    backward = 2 * 10 * (32 * 28 * 28 * 25 + 2 * 64 * 14 * 14 * 25 * 32)
    assert step(cnn(), 10, 1, 28, 28).within(OpClass.CONV).flops == forward + backward


def test_linear_layers_are_counted_as_matrix_products() -> None:
    products = step(nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3)), 4, 7).within(OpClass.MATMUL)
    assert products.flops == 2 * 4 * (7 * 5 * 2 + 5 * 3 * 3)
    assert products.calls == 5


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (nn.Conv2d(8, 8, 3), "conv.{}.3x3"),
        (nn.Conv2d(8, 8, 5, padding=2), "conv.{}.large"),
        (nn.Conv2d(8, 16, 1), "pointwise.{}"),
        (nn.Conv2d(8, 16, 3, groups=8), "depthwise.{}.3x3"),
        (nn.Conv2d(8, 16, 5, padding=2, groups=8), "depthwise.{}.large"),
        (nn.Conv2d(8, 16, 3, groups=2), "conv.{}.grouped"),
        (nn.ConvTranspose2d(8, 16, 3), "conv.{}.3x3"),
        (nn.ConvTranspose2d(8, 8, 3, groups=8), "depthwise.{}.3x3"),
    ],
)
def test_convolutions_fall_into_their_kind(layer: nn.Conv2d, kind: str) -> None:
    found = step(nn.Sequential(layer, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 2, 8, 6, 6).ops
    forward = trace_forward(layer, (torch.empty(2, 8, 6, 6),)).ops[kind.format("forward")]
    assert found[kind.format("forward")] == forward
    assert found[kind.format("backward")].flops == forward.flops  # its input, the data, wants no gradient


def test_the_first_layer_of_colours_is_thin() -> None:
    assert "conv.forward.thin" in trace_forward(nn.Conv2d(3, 8, 7), (torch.empty(2, 3, 9, 9),)).ops


def test_every_group_of_channels_is_a_call() -> None:
    assert one(nn.Conv2d(8, 8, 3, groups=8), OpClass.DEPTHWISE, 2, 8, 6, 6).calls == 2 * 8


def test_groups_count_in_the_backward_pass_where_pytorchs_counter_ignores_them() -> None:
    layer = nn.Conv2d(64, 64, 3, groups=64, padding=1)
    chain = nn.Sequential(layer, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    forward = 2 * 2 * 64 * 8 * 8 * 9
    with FlopCounterMode(display=False) as torchs:
        nn.functional.cross_entropy(chain(torch.zeros(2, 64, 8, 8)), torch.zeros(2, dtype=torch.long)).backward()
    assert step(chain, 2, 64, 8, 8).within(OpClass.DEPTHWISE).flops == 2 * forward
    assert torchs.get_total_flops() > 50 * forward


def test_transposed_convolution_counts_what_the_plain_one_of_its_shapes_does() -> None:
    up = trace_forward(nn.ConvTranspose2d(4, 6, 2, stride=2), (torch.empty(1, 4, 5, 5),))
    assert up.within(OpClass.CONV).flops == 2 * (5 * 5 * 4) * 6 * 4


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(6, 18)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).view(2, 5, 3, 2, 3).permute(2, 0, 3, 1, 4)
        return nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 30)


def test_fused_attention_counts_two_products_forward_and_five_backward() -> None:
    attention = step(Attention(), 2, 5, 6).within(OpClass.ATTENTION)
    assert attention == Op(flops=7 * 2 * (2 * 2 * 5 * 5 * 3), bytes=attention.bytes, calls=2)


def test_attention_inside_torchs_own_layers_is_fused_too() -> None:
    layer = nn.TransformerEncoderLayer(6, 2, 12, dropout=0.0, batch_first=True)
    attention = trace_forward(layer, (torch.empty(3, 5, 6),)).within(OpClass.ATTENTION)
    assert attention.flops == 2 * (2 * 3 * 2 * 5 * 5 * 3)


def test_attention_with_dropout_is_matrix_products_as_on_the_cpu() -> None:
    layer = nn.TransformerEncoderLayer(6, 2, 12, dropout=0.1, batch_first=True)
    assert OpClass.ATTENTION not in step(nn.Sequential(layer, nn.Flatten()), 3, 5, 6).ops


def test_a_trace_works_in_inference_mode() -> None:
    with torch.inference_mode():
        assert step(nn.Linear(7, 5), 4, 7).within(OpClass.MATMUL).flops == 2 * 2 * 4 * 7 * 5


def test_views_cost_nothing() -> None:
    assert trace_forward(nn.Flatten(), (torch.empty(4, 5, 6),)).ops == {}


def test_activation_reads_and_writes_its_tensor_once() -> None:
    assert trace_forward(nn.ReLU(), (torch.empty(4, 5),)).ops == {"memory.forward.plain": Op(20, 160, 1)}


@pytest.mark.parametrize(
    ("layer", "form"), [(nn.GELU(), "activation"), (nn.ReLU(), "plain"), (nn.MaxPool2d(2), "pool")]
)
def test_passes_over_memory_differ_by_form_and_way(layer: nn.Module, form: str) -> None:
    found = step(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), layer, nn.Flatten()), 2, 3, 8, 8).ops
    assert {f"memory.forward.{form}", f"memory.backward.{form}"} <= found.keys()


def test_pieces_of_32_mib_and_more_are_taken_from_the_system_anew() -> None:
    quarter = torch.empty(4, 1 << 20)  # 16 MiB: kept by the C library
    assert OpClass.ALLOCATE not in trace_forward(nn.ReLU(), (quarter,)).ops
    assert trace_forward(nn.ReLU(), (torch.empty(8, 1 << 20),)).ops[OpClass.ALLOCATE] == Op(bytes=1 << 25, calls=1)


def test_work_in_place_takes_no_memory() -> None:
    assert OpClass.ALLOCATE not in trace_forward(nn.ReLU(inplace=True), (torch.empty(8, 1 << 20),)).ops


def test_looking_up_an_embedding_reads_the_rows_not_the_table() -> None:
    found = trace_forward(nn.Embedding(10_000, 8), (torch.zeros(3, dtype=torch.long),))
    assert found.within(OpClass.MEMORY).bytes == 2 * 3 * 8 * 4 + 3 * 8


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm, self.norm = nn.Embedding(20, 8), nn.LSTM(8, 16, 2, batch_first=True), nn.LayerNorm(16)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.lstm(self.embed(x))[0][:, -1])


def test_recurrent_network_counts_every_step() -> None:
    found = trace_forward(Words(), (torch.zeros(3, 7, dtype=torch.long),))
    assert found.within(OpClass.MATMUL).flops == 2 * 3 * 7 * (64 * (8 + 16) + 64 * (16 + 16))


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(8), nn.GroupNorm(2, 8), nn.LayerNorm([8, 6, 6]), nn.InstanceNorm2d(8)])
def test_normalisation_is_a_class_of_its_own(norm: nn.Module) -> None:
    found = step(nn.Sequential(nn.Conv2d(8, 8, 1), norm, nn.Flatten()), 2, 8, 6, 6).ops
    form = "batch" if isinstance(norm, nn.BatchNorm2d | nn.InstanceNorm2d) else "layer"
    assert {f"norm.forward.{form}", f"norm.backward.{form}"} <= found.keys()


def test_batch_norm_in_evaluation_is_a_plain_pass() -> None:
    assert trace_forward(nn.BatchNorm2d(8), (torch.empty(2, 8, 6, 6),)).ops.keys() == {"memory.forward.plain"}


def test_a_copy_that_turns_axes_is_strided() -> None:
    class Turn(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.transpose(1, 2).contiguous()

    assert trace_forward(Turn(), (torch.empty(2, 8, 6),)).ops.keys() == {"memory.forward.strided"}


@pytest.mark.parametrize(("name", "moved"), [("sgd", 3), ("momentum", 8), ("adam", 18), ("adamw", 20)])
def test_optimiser_moves_its_state(name: str, moved: int) -> None:
    assert step(nn.Linear(7, 5), 4, 7, optimizer=name).within(OpClass.OPTIMIZER).bytes == moved * 4 * 40


def test_momentum_makes_sgd_remember_one_number_per_parameter() -> None:
    plain, heavy = (step(nn.Linear(7, 5), 4, 7, momentum=m) for m in (0.0, 0.9))
    assert heavy.memory_bytes - plain.memory_bytes == 4 * 40


def test_memory_is_parameters_gradients_inputs_and_what_is_kept_once() -> None:
    module = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3))
    hidden, log_probabilities, target, weight_sum = 4 * 5 * 4, 4 * 3 * 4, 4 * 8, 4
    kept = hidden + log_probabilities + target + weight_sum
    assert step(module, 4, 7).memory_bytes == 2 * 4 * (40 + 18) + 4 * 7 * 4 + kept


def test_frozen_layers_cost_no_gradients() -> None:
    module = cnn()
    for parameter in list(module.parameters())[:-2]:
        parameter.requires_grad_(False)
    found = step(module, 10, 1, 28, 28)
    assert found.within(OpClass.CONV).calls == 2
    assert found.within(OpClass.OPTIMIZER).calls == 2


def test_tied_parameters_are_updated_once() -> None:
    module = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))
    module[1].weight = module[0].weight
    assert step(module, 4, 5).within(OpClass.OPTIMIZER) == Op(flops=2 * 35, bytes=3 * 4 * 35, calls=3)


def test_tracing_neither_runs_nor_changes_the_module() -> None:
    module = resnet()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    dice = torch.get_rng_state()
    trace_forward(module, (torch.zeros(2, 3, 32, 32),))
    step(module, 2, 3, 32, 32)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert torch.equal(dice, torch.get_rng_state())
    assert module.training
    assert all(p.grad is None for p in module.parameters())


def test_real_and_meta_modules_cost_the_same() -> None:
    with torch.device("meta"):
        meta = vit()
    assert step(meta, 2, 3, 32, 32) == step(vit(), 2, 3, 32, 32)


class Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale, self.layer = torch.ones(5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x * self.scale + torch.arange(5))


def test_constants_of_a_forward_pass_become_meta_too() -> None:
    assert step(Constant(), 4, 5).within(OpClass.MATMUL).flops == 2 * 2 * 4 * 5 * 3


class Branching(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.sum() > 0 else -x)


def test_forward_that_branches_on_values_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"cannot trace Branching without values.*branch on values"):
        step(Branching(5, 3), 4, 5)


def test_unknown_optimiser_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown optimizer 'adamm'; did you mean 'adam'"):
        step(nn.Linear(5, 3), 4, 5, optimizer="adamm")


def test_module_without_anything_to_train_is_refused() -> None:
    with pytest.raises(InputError, match="unfreeze one"):
        step(nn.Flatten(), 4, 5)


@pytest.mark.parametrize("batch", [2, 7, 64, 700])
@pytest.mark.parametrize(
    ("build", "shape"), [(cnn, (1, 28, 28)), (resnet, (3, 64, 64)), (vit, (3, 32, 32))], ids=["cnn", "resnet", "vit"]
)
def test_affine_load_is_exact_at_every_batch(build: object, shape: tuple[int, ...], batch: int) -> None:
    line = affine_load(build, shape, 10, optimizer="adam").at(batch)
    whole = step(build(), batch, *shape, optimizer="adam")
    assert (dict(line.ops), line.memory_bytes) == (dict(whole.ops), whole.memory_bytes)


@pytest.mark.parametrize("build", [cnn, lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten())])
def test_affine_forward_is_exact_at_every_batch(build: object) -> None:
    line = affine_forward(build, (1, 28, 28)).at(50)
    whole = trace_forward(build(), (torch.empty(50, 1, 28, 28),))
    assert (dict(line.ops), line.memory_bytes) == (dict(whole.ops), whole.memory_bytes)


def test_building_for_a_trace_leaves_the_dice_alone() -> None:
    dice = torch.get_rng_state()
    affine_load(cnn, (1, 28, 28), 10)
    assert torch.equal(dice, torch.get_rng_state())


def test_empty_batch_is_refused() -> None:
    with pytest.raises(InputError, match="batch is 0"):
        affine_forward(cnn, (1, 28, 28)).at(0)


def test_resnet18_traces_well_within_a_second() -> None:
    module = resnet()
    step(module, 2, 3, 32, 32)
    start = time.perf_counter()
    step(module, 16, 3, 224, 224)
    assert time.perf_counter() - start < 0.8
