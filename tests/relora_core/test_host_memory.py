"""Each test is a fresh process: how malloc is tuned cannot be undone."""

import os
import platform
import subprocess
import sys
import textwrap

import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is tuned"),
]

FAULTS_OF_A_TENSOR = """
    import resource
    import torch
    from relora_core.host_memory import keep_freed_memory, return_freed_memory

    def faults() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    def pages_of(tensors: int) -> int:
        before = faults()
        for _ in range(tensors):
            torch.ones(64 * 2**20, dtype=torch.uint8)  # 64 MB
        return faults() - before
"""
PAGES = 64 * 2**20 // os.sysconf("SC_PAGE_SIZE")  # of the tensor


def run(script: str, **environment: str) -> list[int]:
    code = textwrap.dedent(FAULTS_OF_A_TENSOR) + textwrap.dedent(script)
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return [int(word) for word in result.stdout.split()]


def test_memory_that_is_kept_is_used_again_without_the_system() -> None:
    plain, kept = run("""
        pages_of(1)
        print(pages_of(4))
        keep_freed_memory()
        pages_of(12)  # alignment leaves slivers at first, and a tensor goes beside them
        print(pages_of(4))
    """)
    assert plain >= 4 * PAGES
    assert kept < PAGES / 100


def test_memory_that_is_kept_can_be_returned() -> None:
    (again,) = run("""
        keep_freed_memory()
        pages_of(12)
        return_freed_memory()
        print(pages_of(1))
    """)
    assert again > PAGES * 0.9


def test_garbage_that_holds_itself_is_returned_too() -> None:
    (again,) = run("""
        keep_freed_memory()
        garbage = [torch.ones(64 * 2**20, dtype=torch.uint8)]
        garbage.append(garbage)
        del garbage
        return_freed_memory()
        print(pages_of(1))
    """)
    assert again > PAGES * 0.9


def test_an_environment_that_tunes_malloc_has_its_way() -> None:
    (plain,) = run(
        """
        keep_freed_memory()
        pages_of(12)
        print(pages_of(4))
        """,
        GLIBC_TUNABLES="glibc.malloc.mmap_threshold=1048576",
    )
    assert plain >= 4 * PAGES
