from benchmarks.first_gpu.wheels import NEEDED, QUANTIZATION, pinned


def test_the_wheels_have_the_versions_of_the_constraints() -> None:
    names = [*NEEDED, *QUANTIZATION]
    found = list(pinned(names))
    assert [each.partition("==")[0] for each in found] == names
    assert all(each.partition("==")[2] for each in found)
