#!/usr/bin/env python3
"""Write the grids of GGUF's IQ1, IQ2 and IQ3 formats, and blocks of these formats with known values.

  make_grids.py            writes ../src/kernels/formats/grids.bin and iq*.blocks, iq*.f32 here
  make_grids.py --check    fails if one of these files says something else

The grids are facts of the formats; they and the values of the blocks are those of the PyPI package
`gguf`, module `gguf.quants`. Also prints what `kernels::formats::grids` has as the digests of the grids:
FNV-1a (64 bits) over all points as signed bytes, in order.

Needs numpy and gguf == 0.19.0.
"""

import sys
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import quants

HERE = Path(__file__).resolve().parent
GRIDS = HERE / "../src/kernels/formats/grids.bin"
TYPES = [T.IQ2_XXS, T.IQ2_XS, T.IQ2_S, T.IQ3_XXS, T.IQ3_S, T.IQ1_S, T.IQ1_M]
BLOCKS = 8


def points(quant):
    """The grid of a format as `[points, weights]`."""
    quant.init_grid()
    return quant.grid.reshape(quant.grid_shape)


def packed(quant):
    """A little-endian word of 16 bits for each point: the numbers of its values in 2 or in 4 bits each,
    from the lowest bits on."""
    number = {float(value): n for n, value in enumerate(quant.grid_map)}
    bits = 16 // quant.grid_shape[1]
    words = [sum(number[float(value)] << bits * i for i, value in enumerate(point)) for point in points(quant)]
    return np.array(words, dtype="<u2").tobytes()


def digest(data):
    hash = 0xCBF29CE484222325
    for byte in data:
        hash = (hash ^ byte) * 0x100000001B3 % 2**64
    return hash


def blocks(kind, random):
    """Random blocks, with scales between -1/8 and 1/8."""
    size = gguf.GGML_QUANT_SIZES[kind][1]
    data = random.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    for block in data:
        scale = np.float16(random.uniform(-0.125, 0.125))
        if kind == T.IQ1_M:
            # Its sixteen bits lie in the highest four of the last four words.
            words = block[-8:].view("<u2")
            parts = scale.view(np.uint16) >> np.array([0, 4, 8, 12], dtype=np.uint16)
            words[:] = words & 0x0FFF | (parts & 15) << 12
        else:
            block[:2] = np.frombuffer(scale.tobytes(), dtype=np.uint8)
    return data


def main():
    files = {GRIDS: b""}
    grids = [quants.IQ2_XXS, quants.IQ2_XS, quants.IQ2_S, quants.IQ3_XXS, quants.IQ3_S, quants.IQ1_S]
    for quant in grids:
        files[GRIDS] += packed(quant)
        print(f"{quant.__name__} {digest(points(quant).astype(np.int8).tobytes()):#018x}")
    random = np.random.default_rng(15)
    for kind in TYPES:
        data = blocks(kind, random)
        files[HERE / f"{kind.name.lower()}.blocks"] = data.tobytes()
        values = quants.dequantize(data, kind).astype("<f4")
        assert np.isfinite(values).all()
        files[HERE / f"{kind.name.lower()}.f32"] = values.tobytes()
    for path, content in files.items():
        if "--check" in sys.argv[1:]:
            assert path.read_bytes() == content, path
        else:
            path.write_bytes(content)


if __name__ == "__main__":
    main()
