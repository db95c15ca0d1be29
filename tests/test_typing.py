"""Shapes in annotations: read under pytest, plain types where jaxtyping is missing."""

import subprocess
import sys


def test_annotation_is_the_plain_type_without_jaxtyping():
    code = (
        "import sys; sys.modules['jaxtyping'] = None; from relmo._typing import Float; "
        "assert Float[list, 'time dim'] is list"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
