"""Students made out of their teacher: narrower ones. Legend: h the teacher's width, w the student's. Needs torch."""

import copy
import re
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from twofold.compress.distil.stack import check_finite
from twofold.core.errors import ConfigError
from twofold.core.scores import Floats

__all__ = ["narrower", "strongest"]

M = TypeVar("M", bound=nn.Module)
NORM = re.compile(r"norm\w*\.weight$", re.IGNORECASE)
LAYER = re.compile(r"^.*?\.\d+\.")
OF_HEADS = re.compile(r"(\b(query|key|value)|\b[qkv](_proj)?)\.(weight|bias)$")
FROM_HEADS = re.compile(r"(attention\.output\.dense|\bo(_proj)?)\.weight$")
OF_NEURONS = re.compile(r"(intermediate\.dense|\b(gate|up)_proj|\bwi(_\d)?)\.(weight|bias)$")
FROM_NEURONS = re.compile(r"((?<!attention\.)output\.dense|\bdown_proj|\bwo)\.weight$")
FAMILIES = ("bert", "llama", "t5")


def strongest(states: Floats, width: int) -> Floats:
    """Return the basis [h, w] that keeps the w coordinates of states [n, h] that vary most, as they are."""
    chosen = np.sort(np.argsort(-states.var(axis=0), kind="stable")[:width])
    basis = np.zeros((states.shape[1], width), np.float32)
    basis[chosen, np.arange(width)] = 1
    return basis


def narrower(teacher: M, basis: Floats, *, inner: int = 0, project: bool = False) -> M:
    """Return a copy of a model whose hidden states are w numbers wide instead of h.

    With states `x` of the teacher, those of the student begin near `x B`: a matrix that reads states becomes `W B`,
    one that writes them `B' W`. Normalisation by coordinate does not survive this, so such a student is a start for
    distilling and no more. Of a BERT, whose heads share the width, each layer keeps w / (size of a head) of its
    heads; of all families, each layer keeps some of its feed-forward neurons: those that write most.

    Args:
        teacher: a model of the transformers library (BERT, Llama-type or T5 encoder), or one of
            sentence-transformers with it.
        basis: [h, w] with orthonormal columns: `principal` or `strongest` of the teacher's states.
        inner: feed-forward neurons that are kept; 0 for the same share as of the width.
        project: whether the vectors are brought back to h numbers by a further matrix, which begins as the basis;
            for sentence-transformers models only.

    Raises:
        ConfigError: the family is another, or the width does not suit it, or the weights are no numbers.
    """
    check_finite(teacher, "the teacher")
    student = copy.deepcopy(teacher)
    place, model = _transformer(student)
    config = _narrow_config(model.config, basis, inner)
    with torch.random.fork_rng(devices=[]):
        small = type(model)(config)
    if getattr(model, "pooler", small) is None:
        small.pooler = None
    small.load_state_dict(_Narrowing(model, small, basis).state())
    small.eval()
    if not place:
        whole: M = small
        return whole
    parent, _, name = place.rpartition(".")
    setattr(student.get_submodule(parent), name, small)
    _narrow_rest(student, torch.from_numpy(basis), project)
    return student


def _transformer(module: nn.Module) -> tuple[str, Any]:
    for name, part in module.named_modules():
        if hasattr(part, "config") and hasattr(part, "save_pretrained") and hasattr(part, "get_input_embeddings"):
            if hasattr(part, "tokenizer"):  # sentence-transformers' own
                continue
            return name, part
    raise ConfigError(f"{type(module).__name__} is no model of the transformers library; make the student yourself.")


def _narrow_config(config: Any, basis: Floats, inner: int) -> Any:
    family, (wide, width) = str(config.model_type), basis.shape
    if family not in FAMILIES:
        raise ConfigError(f"a {family} model cannot be made narrower, only {', '.join(FAMILIES)}; take fewer layers.")
    if wide != config.hidden_size or not 0 < width < wide:
        raise ConfigError(f"a basis {wide} × {width} does not fit a model {config.hidden_size} wide; make it anew.")
    neurons = {"bert": "intermediate_size", "llama": "intermediate_size", "t5": "d_ff"}[family]
    small = copy.deepcopy(config)
    kept = inner or max(1, round(getattr(config, neurons) * width / wide))
    if kept > getattr(config, neurons):
        raise ConfigError(f"a layer has {getattr(config, neurons)} neurons, fewer than inner = {kept}; lower that.")
    setattr(small, neurons, kept)
    if family == "bert":
        head = wide // config.num_attention_heads
        if width % head:
            raise ConfigError(f"a width of {width} holds no whole heads of {head} numbers; take a multiple of that.")
        small.num_attention_heads = width // head
    if family == "llama":
        small.head_dim = getattr(config, "head_dim", None) or wide // config.num_attention_heads
    small.hidden_size = width
    if family == "t5":
        small.d_model = width
    return small


class _Narrowing:
    """Brings each tensor of a model to the shape that it has in a narrower one."""

    def __init__(self, model: Any, small: Any, basis: Floats) -> None:
        self.old: dict[str, Tensor] = model.state_dict()
        self.new: dict[str, Tensor] = small.state_dict()
        self.basis = torch.from_numpy(basis)
        self.head = model.config.hidden_size // model.config.num_attention_heads
        table = model.get_input_embeddings().weight.detach().float()
        share = float((table @ self.basis).square().sum() / table.square().sum())
        # A normalised state of h numbers has length √h; what the basis keeps of it, the student stretches to √w.
        self.stretch = (share * len(self.basis) / self.basis.shape[1]) ** 0.5

    def state(self) -> dict[str, Tensor]:
        return {name: self._tensor(name, value) if name in self.new else value for name, value in self.old.items()}

    def _tensor(self, name: str, value: Tensor) -> Tensor:
        target = self.new[name].shape
        if NORM.search(name) and value.shape != target:
            scales: Tensor = (self.basis.square().T @ value) * self.stretch
            return scales
        for axis, (before, after) in enumerate(zip(value.shape, target, strict=True)):
            if before == after:
                continue
            kept = self._kept(name, axis, after)
            if kept is not None:
                value = value.index_select(axis, kept)
            else:
                value = (value.movedim(axis, -1).float() @ self.basis).movedim(-1, axis)
        return value.contiguous()

    def _kept(self, name: str, axis: int, size: int) -> Tensor | None:
        """Return which rows of an axis of heads or neurons are kept; None where it is an axis of states."""
        for written, read, group in ((OF_HEADS, FROM_HEADS, self.head), (OF_NEURONS, FROM_NEURONS, 1)):
            if (axis == 0 and written.search(name)) or (axis == 1 and read.search(name)):
                return self._loudest(name, read, group, size)
        return None

    def _loudest(self, name: str, pattern: re.Pattern[str], group: int, size: int) -> Tensor:
        """Return the columns of a layer's matrix that write most, in groups, [size]."""
        found = LAYER.match(name)
        assert found is not None
        reader = next(key for key in self.old if key.startswith(found[0]) and pattern.search(key))
        strength = self.old[reader].square().sum(dim=0).view(-1, group).sum(dim=1)
        chosen = strength.argsort(descending=True, stable=True)[: size // group].sort().values
        return (chosen[:, None] * group + torch.arange(group)).flatten()


def _narrow_rest(student: nn.Module, basis: Tensor, project: bool) -> None:
    """Have sentence-transformers' modules behind the transformer take vectors w long."""
    from sentence_transformers.base.modules import Dense  # noqa: PLC0415  for these models only
    from sentence_transformers.sentence_transformer.modules import Pooling  # noqa: PLC0415

    wide, width = basis.shape
    modules: Any = student
    place = 0
    for index, module in enumerate(list(modules)):
        if isinstance(module, Pooling):
            modules[index] = Pooling(width, pooling_mode=module.pooling_mode)
            place = index + 1
        elif isinstance(module, Dense) and module.in_features == wide:
            module.linear.weight = nn.Parameter((module.linear.weight.detach() @ basis).contiguous())
            module.in_features = module.linear.in_features = width
            return
    if project:
        back = Dense(width, wide, bias=False, activation_function=nn.Identity(), init_weight=basis.clone())
        modules.insert(place, back)
