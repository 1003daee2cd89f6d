"""What a stream of single steps is compared with: the network's pass over whole sequences, in torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reloc_ros.bundle.load import Bundle
from reloc_ros.export.sequence import network_in
from reloc_ros.networks.spr_mamba import OUTPUT_NAMES
from reloc_ros.types import Outputs

_REPEATS = 3


def compare_with_whole_passes(
    bundle: Bundle,
    features: NDArray[np.float32],
    outputs: Outputs,
    lengths: Sequence[int],
    *,
    threads: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Return how far a stream is from one pass over all its frames, and what passes over its beginnings cost.

    The network is read back from the step graph, so it has the weights that the stream ran with, and its pass shares
    nothing with the step but them: convolutions and scans over all frames at once.

    Args:
        bundle: of a sequence.
        features: (T, F) of the stream.
        outputs: of the steps of the stream, by name, (T, ...).
        lengths: how many frames to pass again.
        threads: of torch; 0 leaves them as they are.
        progress: told each length once it is done.
    """
    if threads:
        torch.set_num_threads(threads)
    network = network_in(bundle.model_path)
    inputs = torch.from_numpy(features)[None]
    errors, rerun_ms = {}, {}
    with torch.inference_mode():
        for name, value in zip(OUTPUT_NAMES, network(inputs), strict=True):
            errors[name] = float(np.abs(outputs[name] - value[0].numpy()).max())
        for length in lengths:
            seconds = []
            for _ in range(_REPEATS):
                start = perf_counter()
                network(inputs[:, :length])
                seconds.append(perf_counter() - start)
            rerun_ms[str(length)] = 1e3 * float(np.median(seconds))
            progress(length)
    return {
        "max_abs_step_error": max(errors.values()),
        "step_errors": errors,
        "rerun_pass_ms": rerun_ms,
        "rerun_feature_bytes": {str(length): length * features[0].nbytes for length in lengths},
    }
