"""What keeps a kernel or a library from its limit, each with a cure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...host.cpu import VNNI
from ..machine_code.instructions import Evidence, Kind
from ..machine_code.kernel_code import KernelCode

LEAST_CHAINS = 4  # sums that do not wait for each other: a multiply-add takes four cycles, and one or two start in each
SPILLED = 0.5  # of the products of a loop
SHUFFLED = 1.0
LAYOUT_SHARE = 0.05  # of the time of the model
BUSY_MS = 0.05  # a shorter kernel gains nothing by threads
QUANTIZED = "int8"
WIDEST_VNNI = "avx512vnni"  # its vectors have twice the width of AVX-VNNI's


@dataclass(frozen=True)
class Finding:
    """A fault by its `name`, what was seen, and the cure. `kernel` is the name of a kernel (None: the library)."""

    name: str
    text: str
    cure: str
    kernel: str | None = None


def of_library(
    about: Mapping[str, Any], codes: Mapping[str, KernelCode], cpu_features: Iterable[str], cores: int
) -> list[Finding]:
    """Findings on a library as a whole, from its manifest and the code of its kernels.

    `cpu_features` are LLVM's names of those that this CPU has, `cores` the number of cores that may be used.
    """
    found = []
    built = {feature.removeprefix("+") for feature in about["cpu_features"]}
    unused = sorted(VNNI & set(cpu_features) - built)
    if unused and WIDEST_VNNI not in built and about.get("precision") == QUANTIZED:
        found.append(
            Finding(
                "vnni unused",
                f"this CPU has {' and '.join(unused)}, and the library was built for {about['target']}, without",
                "Build it for this CPU: leave --target out.",
            )
        )
    if about["threads"] > cores:
        found.append(
            Finding(
                "too many threads",
                f"the library was built for {about['threads']} threads, and this process may use {cores} cores",
                f"Build it with --threads {cores}.",
            )
        )
    if about["kernels"] and not codes:
        found.append(
            Finding("stripped", "the library has no symbols, so that no kernel was found in it", "Do not strip lib.so.")
        )
    return found


def of_kernel(
    name: str, kernel: Mapping[str, Any], code: KernelCode | None, about: Mapping[str, Any], ms: float | None
) -> list[Finding]:
    """Findings on a kernel: `ms` are its milliseconds (None: it was not run)."""
    seen = [*_precision(kernel, about), *(_instructions(kernel, code, about, ms) if code else ())]
    return [Finding(title, text, cure, name) for title, text, cure in seen]


Seen = tuple[str, str, str]


def _precision(kernel: Mapping[str, Any], about: Mapping[str, Any]) -> Iterable[Seen]:
    convolution = kernel.get("convolution", "")
    if about.get("precision") == QUANTIZED and convolution.startswith("fp32"):
        yield (
            "computes in FP32",
            "this convolution of an INT8 library computes in FP32",
            "Look at its operators in Relay (`tvm-bench inspect`): the source model does not quantize them, or a "
            "dequantization stands before them.",
        )
    if kernel.get("schedule") == "tvm" and (convolution.startswith("int8") or "groups" in convolution):
        yield (
            "no schedule of this project",
            "this convolution has TVM's own schedule",
            "Tune it: `tvm-bench tune --tuner metaschedule`.",
        )


def _instructions(
    kernel: Mapping[str, Any], code: KernelCode, about: Mapping[str, Any], ms: float | None
) -> Iterable[Seen]:
    hot, everything = code.hot, code.everything
    works = _works(kernel)
    if not code.parallel and about["threads"] > 1 and (ms or 0.0) > BUSY_MS:
        yield (
            "one thread",
            f"it runs on one of {about['threads']} threads",
            "Give it more rows or channels, a larger batch, or another schedule by `tvm-bench tune`.",
        )
    if code.calls:
        yield (
            "calls of functions",
            f"it calls {', '.join(code.calls)} for single values",
            "Replace the activation by one that is vectorized, such as hard-swish or ReLU.",
        )
    if works and about.get("precision") == QUANTIZED and everything.kinds.get(Kind.LONG):
        yield (
            "64-bit requantization",
            f"its loops have {everything.kinds[Kind.LONG]} multiplications of 64 bits, of half as many values",
            "Let scales be floats: build with this project's passes, not with TVM's requantization in fixed point.",
        )
    if hot and works:
        yield from _hot_loop(hot, about)


def _hot_loop(hot: Evidence, about: Mapping[str, Any]) -> Iterable[Seen]:
    products = hot.products
    scalars = hot.kinds.get(Kind.SCALAR, 0)
    if not products:
        if scalars:
            yield (
                "scalar products",
                f"its hottest loop has {scalars} operations on single values, and none on vectors",
                "Channels that are a multiple of 8 or 16 let it use vectors.",
            )
        return
    if 0 < hot.accumulators < LEAST_CHAINS:
        yield (
            "one chain of sums",
            f"its {products} products add up to {hot.accumulators} registers: each waits for the one before",
            "Tune it: a larger register tile sums more outputs at a time.",
        )
    if hot.spills > SPILLED * products:
        yield (
            "registers spilled",
            f"its hottest loop loads and stores {hot.spills} vectors on the stack, beside {products} products",
            "Tune it: a smaller register tile fits the registers.",
        )
    widest = 512 if "avx512f" in {feature.removeprefix("+") for feature in about["cpu_features"]} else 256
    if hot.widths and max(hot.widths) < widest:
        yield (
            "narrow vectors",
            f"its vectors have {max(hot.widths)} bits, of the {widest} that the target has",
            "Channels that are a multiple of 16 fill AVX-512's vectors, of 8 AVX2's.",
        )
    if gathers := hot.kinds.get(Kind.GATHER):
        yield (
            "gathers",
            f"its hottest loop collects values from {gathers} places",
            "A layout of blocked channels makes them neighbours.",
        )
    if hot.kinds.get(Kind.SHUFFLE, 0) > SHUFFLED * products:
        yield (
            "shuffles",
            f"its hottest loop has {hot.kinds[Kind.SHUFFLE]} shuffles beside {products} products",
            "Weights in blocks of output channels need none.",
        )


def of_times(kernels: Mapping[str, Mapping[str, Any]], times: Mapping[str, float]) -> list[Finding]:
    """Findings on where the time goes. `times` are the milliseconds of each kernel."""
    total = sum(times.values())
    layouts = sum(ms for name, ms in times.items() if "layout_transform" in name and not _works(kernels.get(name, {})))
    if not total or layouts <= LAYOUT_SHARE * total:
        return []
    return [
        Finding(
            "layout transforms",
            f"kernels that only change the layout take {layouts / total:.0%} of the time",
            "See `tvm-bench inspect --groups` for the operators between them: one that needs NCHW breaks the chain.",
        )
    ]


def too_large(constant_bytes: float, caches: Mapping[int, int]) -> list[Finding]:
    """A finding if the constants of a library do not fit the last cache."""
    last = max(caches.values(), default=0)
    if not last or constant_bytes <= last:
        return []
    return [
        Finding(
            "weights beyond the caches",
            f"an inference reads {constant_bytes / 1e6:.0f} MB of weights, and the last cache has {last / 1e6:.0f} MB",
            "A larger batch reads them once for several images. INT8 weights take less than those of FP32.",
        )
    ]


def _works(kernel: Mapping[str, Any]) -> bool:
    return bool(kernel.get("operations"))
