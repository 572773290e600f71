"""What can compute a network's scores: names for settings, captions for people."""

from typing import Final

__all__ = ["RUNTIMES"]

RUNTIMES: Final = {
    "torch": "the default: PyTorch, operation by operation",
    "torch-compile": "PyTorch with its compiler: slow to start, for long jobs on a graphics card",
    "openvino": "OpenVINO on the processor",
    "openvino-int8": "OpenVINO on the processor in 8 bits: the fastest there, a little less exact",
}
