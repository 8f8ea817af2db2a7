"""Adds `rawmm._speed` to a wheel, and the README to the metadata.

Without a C compiler the wheel is pure Python. RAWMM_PURE=1 builds a pure wheel, RAWMM_PURE=0 makes
a missing compiler an error.
"""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(\]\()(?![a-z]+:|#)([^)]+)(\))")


class ReadmeHook(MetadataHookInterface):
    """The README as the long description, for pages that do not have the repository's files."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Make relative links lead to the repository."""
        files = f"{metadata['urls']['Repository']}/blob/main/"
        text = (Path(self.root) / "README.md").read_text("utf-8")
        text = _LINK.sub(rf"\g<1>{files}\g<2>\g<3>", text)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


class SpeedHook(BuildHookInterface[Any]):
    """Compiles into the wheel, or into the source tree for an editable installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is built."""
        self._made = tempfile.TemporaryDirectory()
        wish = os.environ.get("RAWMM_PURE", "")
        build = runpy.run_path(str(Path(self.root) / "build_speed.py"))
        # An editable installation imports from the source tree.
        editable = version == "editable"
        if editable:
            (build["PACKAGE"] / build["NAME"]).unlink(missing_ok=True)
        if wish == "1":
            return
        folder: Path = build["PACKAGE"] if editable else Path(self._made.name)
        reason = build["why_pure"]()
        if reason is None:
            try:
                build["compile_to"](folder / build["NAME"])
            except OSError as error:
                reason = f"there is no compiler: {error}"
            except subprocess.CalledProcessError as error:
                reason = f"the compiler failed: {error.stderr}"
        if reason is None:
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            if not editable:
                build_data["force_include"][str(folder / build["NAME"])] = f"rawmm/{build['NAME']}"
        elif wish == "0":
            msg = f"RAWMM_PURE=0, but rawmm._speed cannot be built: {reason}"
            raise RuntimeError(msg)
        else:
            self.app.display_warning(f"rawmm is built without rawmm._speed: {reason}")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove what `initialize` made beside the wheel."""
        self._made.cleanup()
