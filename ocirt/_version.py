"""The version of ocirt, of the runtime spec that it follows, and the commit that it was built from.

The build replaces ``commit`` in the copy that it installs; it stays empty in the source tree and where git is absent.
"""

from __future__ import annotations

__version__ = "0.1.0"
oci_version = "1.3.0"
commit = ""
