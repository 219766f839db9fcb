"""Tensors that say they are on the GPU: wrappers around tensors of the processor, which does their work."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.support.cuda.matrix_units import MATRIX, compute_in_float32
from tests.support.cuda.memory import CardMemory
from tests.support.cuda.pinned import PinnedMemory
from tests.support.cuda.workspaces import CublasWorkspaces

GPU = torch.device("cuda", 0)
#: Methods whose C++ part selects the device, and the operators that they call then.
_WITHOUT_GUARD: dict[Any, Callable[..., Any]] = {
    Tensor.copy_: torch.ops.aten.copy_.default,
    Tensor.contiguous: torch.ops.aten.contiguous.default,
    Tensor.__float__: lambda tensor: float(torch.ops.aten._local_scalar_dense.default(tensor)),
}


#: Operators whose result the host needs.
_READ_BY_THE_HOST = ("aten::_local_scalar_dense", "aten::equal", "aten::is_nonzero", "aten::item")


#: `cudaError_t`: cudaGetErrorString's words for some numbers.
_CUDA_ERRORS = {
    209: "no kernel image is available for execution on the device",
    700: "an illegal memory access was encountered",
    719: "unspecified launch failure",
    900: "operation not permitted when stream is capturing",
    901: "operation failed due to a previous error during capture",
}


def cuda_error(number: int) -> torch.AcceleratorError:
    """Make the error that torch raises for an error of the CUDA runtime.

    Its words are those of c10/cuda/CUDAException.cpp, c10_cuda_check_implementation; torch/csrc/Exceptions.cpp,
    _new_accelerator_error_object, sets the number.
    """
    error = torch.AcceleratorError(f"CUDA error: {_CUDA_ERRORS[number]}\nCompile with `TORCH_USE_CUDA_DSA`")
    error.error_code = number  # type: ignore[attr-defined]
    return error


class CardTensor(Tensor):
    """A tensor on the stand-in for the GPU; `numbers` is the processor's tensor behind it."""

    numbers: Tensor
    card: Card

    @staticmethod
    def __new__(cls, inner: Tensor, card: Card) -> CardTensor:
        """Wrap a tensor of the processor, with its shape, strides and type."""
        made: CardTensor = Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=GPU,
        )
        made.numbers, made.card = inner, card
        return made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Indexing and copying select the tensor's device in C++ first, which this build of torch cannot.
        if func in _WITHOUT_GUARD:
            return _WITHOUT_GUARD[func](*args, **(kwargs or {}))
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            card = next(leaf.card for leaf in leaves(args) if isinstance(leaf, CardTensor))
            return card.index(func, args)
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        found = leaves((args, kwargs or {}))
        card = next(leaf.card for leaf in found if isinstance(leaf, CardTensor))
        return card.run(func, args, kwargs or {}, found)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"CardTensor({tuple(self.shape)}, {self.dtype})"


@dataclass
class Recording:
    """The kernels of a graph in the order in which they were recorded."""

    kernels: list[Callable[[], None]] = field(default_factory=list)


class Card:
    """The work of the GPU: counts memory, records graphs, and refuses what a GPU refuses.

    Attributes:
        memory: the memory of the GPU.
        workspaces: what is kept for cuBLAS.
        stream: number of the current stream; 0 is the default one.
        recording: the graph that is being recorded; None if there is none.
        broken: number of the error that every call fails with from now on, as after a fault of the GPU; 0 if it works.
        kernels: number of operators that ran on it.
        uploads: number of tensors that were copied to it and made the host wait for its work: CUDA runtime API, "API
            synchronization behavior": from pageable memory "a stream sync is performed before the copy is initiated".
        downloads: number of tensors that were copied from it and made the host wait: without `non_blocking`, or to pageable
            memory, where "the function will return only once the copy has completed".
        copies: names of kernels that found their input in another layout and copied it first.
        pinned: memory of the processor that it reads and writes by itself.
        contexts: numbers of the GPUs on which this process has a context, which takes memory until the process ends. CUDA runtime
            API, "Initialization": cudaSetDevice and the first call that needs one make it; cudaGetDeviceCount and
            cudaGetDeviceProperties need none.
    """

    def __init__(self, memory: CardMemory) -> None:
        self.memory = memory
        self.workspaces, self.stream = CublasWorkspaces(), 0
        self.recording: Recording | None = None
        self.broken = 0
        self.copies: list[str] = []
        self.contexts: set[int] = set()
        self.kernels = self.uploads = self.downloads = 0
        self.pinned = PinnedMemory(lambda: bool(self.broken))
        self._layouts: dict[Any, tuple[Any, ...]] = {}

    def check(self) -> None:
        """Fail as every call does after a fault of the GPU."""
        if self.broken:
            # After such errors the CUDA runtime's context cannot be used: every later call returns the same error.
            raise cuda_error(self.broken)

    def wait(self) -> None:
        """Wait for the GPU's work."""
        self.check()
        if self.recording is not None:
            # cudaErrorStreamCaptureUnsupported of the CUDA runtime: nothing may wait for a stream that is being recorded.
            self.recording = None
            raise cuda_error(900)

    def _goes_on(self, tensor: Tensor, args: Any, kwargs: dict[str, Any]) -> bool:
        """Whether the host goes on while a tensor of the processor is copied from or to."""
        return _is_later(args, kwargs) and self.pinned.use(tensor)

    def index(self, func: Any, args: Any) -> Any:
        """Read or write a part of a tensor on the GPU."""
        self.check()
        inside = inner(args)
        if func is Tensor.__setitem__:
            func(*inside)
            self._record(lambda: func(*inside))
            return None
        made = func(*inside)
        self._record(lambda: _write([made], func(*inside)))
        return self._put(made)

    def run(self, func: Any, args: Any, kwargs: dict[str, Any], found: list[Any]) -> Any:
        """Run one operator, some of whose arguments are on the GPU or whose result shall be. `found`: all of its arguments."""
        self.check()
        operator = operator_of(func)
        tensors = [leaf for leaf in found if isinstance(leaf, Tensor)]
        here = [leaf for leaf in tensors if isinstance(leaf, CardTensor)]
        on_card = bool(here)
        name = operator.name
        args, kwargs = operator.named_devices(args, kwargs)
        asked = kwargs.get("device")
        target = on_card if asked is None else torch.device(asked).type == "cuda"
        if on_card and len(here) < len(tensors):
            self._check_devices(name, tensors)
        if name in _READ_BY_THE_HOST or (on_card and not target):
            self.wait()  # the result is needed on the host
        if name == "aten::copy_" and not isinstance(args[0], CardTensor) and not self._goes_on(args[0], args, kwargs):
            self.wait()
            self.downloads += 1
        elif target and name in ("aten::_to_copy", "aten::copy_", "aten::to"):
            there = [tensor for tensor in tensors if not isinstance(tensor, CardTensor)]
            self.uploads += sum(not self._goes_on(tensor, args, kwargs) for tensor in there)
        self.kernels += on_card or target
        inner_args, inner_kwargs = inner(args), inner(kwargs)
        if asked is not None:
            inner_kwargs["device"] = torch.device("cpu")
        if target and not on_card:
            torch.cuda._lazy_init()  # torch/csrc/utils/device_lazy_init.cpp, device_lazy_init: by the first tensor on the GPU
            self.contexts.add(0)
        inner_kwargs.pop("pin_memory", None)  # memory that the GPU can read; the processor's own is nothing else here
        made = self._compute(func, name, inner_args, inner_kwargs)
        if operator.writes:
            self._record(lambda: self._compute(func, name, inner_args, inner_kwargs))
            return self._same(func, args, kwargs, made)
        if target:
            if type(made) is Tensor and self.recording is None:
                return self._put(made)
            results = [leaf for leaf in leaves(made) if isinstance(leaf, Tensor)]
            self._record(lambda: _write(results, self._compute(func, name, inner_args, inner_kwargs)))
            return self._put_all(made)
        return made

    def _compute(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        if name in ("aten::native_group_norm", "aten::group_norm"):
            # aten/src/ATen/native/group_norm.cpp, native_group_norm: memory_format is X.suggest_memory_format() on a CPU and
            # at::MemoryFormat::Contiguous on CUDA; `X.contiguous(memory_format)` then copies to NCHW, and so is the result.
            if not args[0].is_contiguous():
                self.copies.append(name)
            args = (args[0].contiguous(), *args[1:])
        elif name in ("aten::convolution", "aten::conv2d", "aten::conv_transpose2d"):
            # aten/src/ATen/native/cudnn/ConvShared.cpp, cudnn_convolution_forward: input and weight are made contiguous in the
            # format of cudnn_conv_suggest_memory_format(input, weight), which is channels-last if either is.
            last = torch.channels_last
            formats = [tensor.is_contiguous(memory_format=last) for tensor in args[:2] if tensor.dim() == 4]
            if any(formats) and not all(formats):
                self.copies.append(name)
        elif name == "aten::scaled_dot_product_attention":
            for tensor in args[:3]:
                if 0 in tensor.stride():
                    # aten/src/ATen/native/cudnn/MHA.cpp hands the strides to cuDNN's front end, which in some releases finds no
                    # plan for a stride of 0.
                    raise RuntimeError("cuDNN Frontend error: [cudnn_frontend] Error: No valid execution plans built.")
        return self._multiply(func, name, args, kwargs) if name in MATRIX else func(*args, **kwargs)

    def _multiply(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        """Compute products; while they are recorded only where such were never computed before.

        CUDA programming guide, "Stream capture": captured work is not run. So its result is no number before a replay.
        """
        if name == "aten::linear":
            self.workspaces.use(self.stream)
        key = name, *map(_layout, args), *kwargs.items()
        if self.recording is not None and (known := self._layouts.get(key)) is not None:
            return torch.empty_strided(known[1], known[2], dtype=known[0]).fill_(torch.nan)
        made = compute_in_float32(func, args, kwargs)
        self._layouts[key] = _layout(made)
        return made

    @staticmethod
    def _check_devices(name: str, tensors: Iterable[Tensor]) -> None:
        """Refuse to mix tensors of both devices, except those without dimensions and in copies."""
        places = {tensor.device for tensor in tensors if tensor.dim()}
        mixing = ("aten::copy_", "aten::_to_copy", "aten::index_put_", "aten::index")
        if len(places) > 1 and name not in mixing:
            # aten/src/ATen/core/op_registration/adaption.cpp, common_device_check_failure
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"{' and '.join(sorted(map(str, places)))}! (when checking argument in method {name})"
            )

    def _record(self, kernel: Callable[[], object]) -> None:
        if self.recording is not None:
            self.recording.kernels.append(kernel)  # type: ignore[arg-type]

    def _put(self, made: Any) -> Any:
        if not isinstance(made, Tensor):
            return made
        tensor = CardTensor(made, self)
        self.memory.hold(made.untyped_storage())
        return tensor

    def _put_all(self, made: Any) -> Any:
        return type(made)([self._put(one) for one in made]) if isinstance(made, (tuple, list)) else self._put(made)

    def _same(self, func: Any, args: Any, kwargs: Any, made: Any) -> Any:
        """What an operator that writes into its arguments returns: those arguments."""
        written = [
            value
            for value, spec in itertools.chain(
                zip(args, func._schema.arguments, strict=False),
                ((kwargs[spec.name], spec) for spec in func._schema.arguments if spec.name in kwargs),
            )
            if spec.alias_info is not None and spec.alias_info.is_write
        ]
        if not func._schema.returns:
            return None
        return written[0] if len(func._schema.returns) == 1 else tuple(written)


class CardMode(TorchDispatchMode):
    """Lets operators that make tensors on the GPU (`torch.zeros(…, device="cuda")`) reach the stand-in."""

    def __init__(self, card: Card) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._card = card

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # no compiler looks at it here, and to skip it takes as long as all else that is done for most operators

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = operator_of(func).named_devices(args, kwargs or {})
        asked = kwargs.get("device")
        found = leaves((args, kwargs))
        touched = any(isinstance(leaf, CardTensor) for leaf in found)
        if not touched and (asked is None or torch.device(asked).type != "cuda"):
            pinned = kwargs.pop("pin_memory", None)
            made = func(*args, **kwargs)
            if pinned:
                self._card.pinned.add(made.untyped_storage())
            return made
        return self._card.run(func, args, kwargs, found)


class Operator:
    """What is asked of an operator whenever it runs: torch answers each question slowly.

    Attributes:
        name: as `aten::add`.
        writes: whether it writes into an argument.
    """

    def __init__(self, func: Any) -> None:
        self.name: str = func._schema.name
        self.writes: bool = func._schema.is_mutable
        self._names = [argument.name for argument in func._schema.arguments]
        self._device = self._names.index("device") if "device" in self._names else sys.maxsize

    def named_devices(self, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Pass `device`, and all that follow it, by name: `Tensor.to` takes it by position."""
        if (place := self._device) < len(args):
            return args[:place], {**dict(zip(self._names[place:], args[place:], strict=False)), **kwargs}
        return args, dict(kwargs)


#: By the operator's `id`, as torch computes a hash in Python. Operators stay as long as torch.
_operators: dict[int, Operator] = {}


def operator_of(func: Any) -> Operator:
    """Return what is known of an operator of torch."""
    if (known := _operators.get(id(func))) is None:
        known = _operators[id(func)] = Operator(func)
    return known


def leaves(value: Any) -> list[Any]:
    """All values in nested tuples, lists and dictionaries; torch's own function knows more, and takes ten times as long."""
    found: list[Any] = []
    _gather((value,), found)
    return found


def _gather(parts: Iterable[Any], found: list[Any]) -> None:
    for part in parts:
        kind = type(part)
        if kind is tuple or kind is list:
            _gather(part, found)
        elif kind is dict:
            _gather(part.values(), found)
        else:
            found.append(part)


def inner(value: Any) -> Any:
    """The same with the processor's tensors in place of those on the GPU."""
    kind = type(value)
    if kind is CardTensor:
        return value.numbers
    if kind is tuple:
        return tuple([inner(part) for part in value])
    if kind is list:
        return [inner(part) for part in value]
    if kind is dict:
        return {key: inner(part) for key, part in value.items()}
    return value


def _layout(value: Any) -> Any:
    """The type, shape and strides of a tensor; other values as they are, in a form that can be looked up."""
    if isinstance(value, Tensor):
        return value.dtype, value.shape, value.stride()
    return tuple(value) if isinstance(value, list) else value


def _is_later(args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a copy may be done after the call (`non_blocking`)."""
    return bool(kwargs.get("non_blocking")) or (len(args) > 2 and args[2] is True)


def _write(into: list[Tensor], made: Any) -> None:
    for old, new in zip(into, (leaf for leaf in leaves(made) if isinstance(leaf, Tensor)), strict=True):
        if old.data_ptr() != new.data_ptr():  # a view of what the graph holds is up to date already
            old.copy_(new)
