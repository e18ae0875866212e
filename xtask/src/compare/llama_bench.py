#!/usr/bin/env python3
"""What `llama-bench -o json` prints, from a libllama that a package ships: nothing has to be compiled.

The npm package @node-llama-cpp/linux-x64 has llama.cpp with kernels for each kind of processor, of which it
loads the fastest that the machine has:
    npm pack @node-llama-cpp/linux-x64@3.22.1 && tar xzf node-llama-cpp-linux-x64-3.22.1.tgz
    LIBLLAMA=package/bins/linux-x64 cargo xtask compare --peer xtask/src/compare/llama_bench.py --model FILE
GGML_CPU, a name such as haswell, takes the kernels of that kind instead; REPACK=0 leaves the weights in the
map, where a second order of them does not fit the memory.
"""

import argparse
import ctypes
import json
import os
import random
import re
import sys
import time
from pathlib import Path


class Words(ctypes.Structure):
    """A structure of which a few words are known. It is longer than the real one, and the last argument
    wherever it is passed, so that its length does not matter."""

    _fields_ = [("word", ctypes.c_uint32 * 64)]


class Llama:
    # Words of llama_context_params in v0.5.0, and what is there by default, by which another version is noticed.
    N_CTX, N_BATCH, N_UBATCH, THREADS, TYPES = 0, 1, 2, (7, 8), (26, 27)
    DEFAULTS = {0: 512, 1: 2048, 2: 512, 7: 4, 8: 4, 26: 1, 27: 1}
    # The word of llama_model_params with the flag for buffers of repacked weights, all that is set in it.
    EXTRA, EXTRA_ON = 18, 1 << 16
    KV = {"f32": 0, "f16": 1, "q8_0": 8}

    def __init__(self, folder, kind):
        load = lambda pattern: ctypes.CDLL(str(next(folder.glob(pattern))), mode=ctypes.RTLD_GLOBAL)
        load("libggml-base.so*")
        ggml = load("libggml.*so*")
        self.lib = load("libllama.*so*")
        quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
        self.quiet = quiet(lambda level, text, data: None)
        self.lib.llama_log_set(self.quiet, None)
        if kind:
            ggml.ggml_backend_load.restype = ctypes.c_void_p
            if not ggml.ggml_backend_load(str(folder / f"libggml-cpu-{kind}.so").encode()):
                sys.exit(f"no kernels for {kind} in {folder}")
        else:
            ggml.ggml_backend_load_all_from_path(str(folder).encode())
        for name in ("llama_context_default_params", "llama_model_default_params", "llama_batch_get_one"):
            getattr(self.lib, name).restype = Words
        for name in ("llama_model_load_from_file", "llama_init_from_model", "llama_get_memory", "llama_model_get_vocab"):
            getattr(self.lib, name).restype = ctypes.c_void_p
        self.lib.llama_print_system_info.restype = ctypes.c_char_p
        self.lib.llama_backend_init()

    def open(self, path, threads, context, kv):
        begin = time.perf_counter()
        params = self.lib.llama_model_default_params()
        if params.word[self.EXTRA] != self.EXTRA_ON:
            sys.exit("the parameters of this libllama lie elsewhere")
        if os.environ.get("REPACK") == "0":
            params.word[self.EXTRA] = 0
        model = self.lib.llama_model_load_from_file(os.fsencode(path), params)
        if not model:
            sys.exit(f"llama.cpp cannot load {path}")
        self.load_s = time.perf_counter() - begin
        params = self.lib.llama_context_default_params()
        found = {at: params.word[at] for at in self.DEFAULTS}
        if found != self.DEFAULTS:
            sys.exit(f"the parameters of this libllama lie elsewhere: {found}, expected {self.DEFAULTS}")
        params.word[self.N_CTX] = context
        for at in self.THREADS:
            params.word[at] = threads
        for at in self.TYPES:
            params.word[at] = self.KV[kv]
        self.context = ctypes.c_void_p(self.lib.llama_init_from_model(ctypes.c_void_p(model), params))
        if not self.context:
            sys.exit("llama.cpp cannot make a context")
        vocab = ctypes.c_void_p(self.lib.llama_model_get_vocab(ctypes.c_void_p(model)))
        self.vocabulary = self.lib.llama_vocab_n_tokens(vocab)

    def clear(self):
        memory = ctypes.c_void_p(self.lib.llama_get_memory(self.context))
        self.lib.llama_memory_clear(memory, ctypes.c_bool(True))

    def decode(self, n):
        self.evaluate([random.randrange(self.vocabulary) for _ in range(n)])

    def evaluate(self, tokens):
        n = len(tokens)
        tokens = (ctypes.c_int32 * n)(*tokens)
        if self.lib.llama_decode(self.context, self.lib.llama_batch_get_one(tokens, n)):
            sys.exit("llama_decode failed")
        self.lib.llama_synchronize(self.context)

    def logits(self):
        """Of the last token."""
        self.lib.llama_get_logits_ith.restype = ctypes.POINTER(ctypes.c_float)
        return self.lib.llama_get_logits_ith(self.context, -1)[:self.vocabulary]

    def read(self, n):
        for begin in range(0, n, 2048):
            self.decode(min(2048, n - begin))

    def write(self, n):
        for _ in range(n):
            self.decode(1)


def main():
    numbers = lambda text: [int(part) for part in text.split(",")]
    parser = argparse.ArgumentParser()
    parser.add_argument("-m", required=True)
    parser.add_argument("-t", type=int, default=2)
    parser.add_argument("-fa")
    parser.add_argument("-p", type=numbers, default=[512])
    parser.add_argument("-n", type=int, default=128)
    parser.add_argument("-d", type=int, default=0)
    parser.add_argument("-ctk", default="f16")
    parser.add_argument("-ctv", default="f16")
    parser.add_argument("-r", type=int, default=3)
    parser.add_argument("-o", choices=["json"])
    options = parser.parse_args()
    if options.ctk != options.ctv:
        sys.exit("keys and values of one type, please")
    folder = os.environ.get("LIBLLAMA") or sys.exit("LIBLLAMA is the folder of libllama")
    llama = Llama(Path(folder), os.environ.get("GGML_CPU"))
    longest = max([*options.p, options.n])
    llama.open(options.m, options.t, options.d + longest + 16, options.ctk)
    info = llama.lib.llama_print_system_info().decode()
    features = ",".join(re.findall(r"(\S+) = 1", info.split("CPU :")[-1]))
    results = []
    for prompt, generate in [*((p, 0) for p in options.p if p), (0, options.n)]:
        speeds = []
        # The first run warms up.
        for run in range(options.r + 1):
            llama.clear()
            llama.read(options.d)
            begin = time.perf_counter()
            llama.read(prompt)
            llama.write(generate)
            if run:
                speeds.append((prompt + generate) / (time.perf_counter() - begin))
        results.append({
            "build_commit": f"{Path(folder).resolve().parent.parent.name} {features}", "cpu_info": os.uname().machine,
            "n_prompt": prompt, "n_gen": generate, "n_depth": options.d, "load_s": round(llama.load_s, 3),
            "avg_ts": sum(speeds) / len(speeds)})
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
