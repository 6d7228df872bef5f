import json
import os
import platform
import socket

from twofold.evaluate import protocol
from twofold.evaluate.protocol import machine


def test_machine_says_what_speed_depends_on():
    found = machine()
    assert set(found) == {"cpu", "cores", "memory_gib", "python", "numpy", "os"}
    assert found["python"] == platform.python_version()
    assert 1 <= found["cores"] <= (os.cpu_count() or 1)
    assert found["memory_gib"] > 0


def test_machine_names_no_host_and_no_folder():
    words = json.dumps(machine())
    assert socket.gethostname() not in words
    assert os.getcwd() not in words


def test_machine_without_proc_still_answers(monkeypatch, tmp_path):
    monkeypatch.setattr(protocol, "CPUINFO", tmp_path / "none")
    monkeypatch.setattr(platform, "processor", lambda: "riscv64")
    assert machine()["cpu"] == "riscv64"
