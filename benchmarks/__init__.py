"""Measurements of Twofold beside its peers: `python -m benchmarks NAME --data FOLDER --json FILE`."""
