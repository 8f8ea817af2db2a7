"""Imports vLLM before the tests do: importing it warns, and here warnings are errors.

Its wheel is installed without its dependencies, beside those that its protocol needs.
"""

from __future__ import annotations

import os
import warnings

os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import vllm.entrypoints.scale_out.token_in_token_out.protocol
    import vllm.multimodal.cache
    import vllm.multimodal.media
    import vllm.outputs  # noqa: F401
