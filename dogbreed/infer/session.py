"""The model in ONNX Runtime, on its way: read, verified and built in a thread of its own.

Apart from the Predictor, so that all this goes on while Pillow is imported and the first photo is decoded.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from dogbreed.errors import DogbreedError
from dogbreed.run import ONNX, Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEND = "train again, or fetch the run anew"


class Session:
    """A Run's model.onnx; `threads` work on one batch together, one when not given."""

    def __init__(self, run: Run, threads: int | None = None) -> None:
        self._run, self._threads = run, threads or 1
        self._result: tuple[Any, str] | DogbreedError | None = None
        # No daemon: a process that ends while ONNX Runtime is at work in a daemon would be aborted.
        self._thread = threading.Thread(target=self._load)
        self._thread.start()
        # The thread reads and verifies meanwhile; then it needs this, before anyone imports what can wait.
        import onnxruntime  # noqa: F401

    def run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [n, 3, crop, crop] to float32 [n, labels]; raises what `wait` raises."""
        session, name = self.wait()
        outputs: NDArray[np.float32] = session.run(None, {name: pixels})[0]
        return outputs

    def wait(self) -> tuple[Any, str]:
        """ONNX Runtime's session and the name of its input.

        Raises DogbreedError when the file is missing, changed, no model or one with other outputs than the labels.
        """
        self._thread.join()
        if isinstance(self._result, DogbreedError):
            raise self._result
        assert self._result
        return self._result

    def _load(self) -> None:
        try:
            self._result = self._build(self._run.read(ONNX))
        except DogbreedError as error:
            self._result = error
        # ONNX Runtime raises its own kinds, derived from nothing but Exception.
        except Exception as error:  # noqa: BLE001
            what = " ".join(str(error).split())[:200]
            self._result = DogbreedError(f"the model in {self._run.path} cannot be used: {what}", MEND)

    def _build(self, model: bytes) -> tuple[Any, str]:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        outputs = session.get_outputs()[0].shape[-1]
        if outputs != len(self._run.labels):
            raise ValueError(f"{outputs} outputs for {len(self._run.labels)} labels")
        return session, session.get_inputs()[0].name
