"""Sizes of a resolved checkpoint."""

from safetensors.numpy import load_file


def test_sizes_and_dtypes_are_those_of_the_files(resolved, checkpoint_2023):
    arrays = [each for path in checkpoint_2023.rglob("*.safetensors") for each in load_file(path).values()]
    assert resolved.parameters == sum(array.size for array in arrays)
    assert resolved.stored_bytes == sum(array.nbytes for array in arrays)
    assert resolved.stored_dtypes == ("float32",)
