import subprocess
import sys

from twofold.compress import distil


def test_all_names_are_there():
    assert all(getattr(distil, name) is not None for name in distil.__all__)
    lazy = {name for names in distil.MODULES.values() for name in names}
    assert lazy <= set(distil.__all__)


def test_what_serving_needs_is_imported_without_torch():
    code = "import sys; import twofold.compress.distil as d; d.SmallRanker, d.Reader, d.open_graph, d.save_static"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
