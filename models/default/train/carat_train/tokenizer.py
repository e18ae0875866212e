"""The tokenizer: byte-fallback BPE in the form of Gemma 4.

    python -m carat_train.tokenizer --vocab 8192
    python -m carat_train.tokenizer --restore ../carat-default.gguf     # the one of a model file

Engines read it with no pre-tokenizer: spaces become U+2581 and merges apply by rank over whole
texts (llama.cpp splits at runs of newlines first). So everything a pre-tokenizer would guarantee has
to follow from the merges themselves:

- Runs of spaces, tabs and newlines have the first ranks and every way to split a run is a merge.
  A run therefore becomes one token before any word begins to form, and an indentation never sticks
  to the word behind it: a caret after the indentation is at a token boundary.
- No merge joins a newline, a digit or a run with anything else, since training never saw them together.
- Some merges cross single spaces inside a line (") -> Result<"), but only between whole words, which
  makes code shorter in tokens and lines faster to write. Carets inside such tokens are handled by the samples (see fim.py), which always
  cut the text at the caret before it is tokenised.
"""

import json
import random
import re
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from .workdir import parser

SPACE = "\u2581"
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
           "<|file_separator|>", "<|fim_pad|>", "<unused0>", "<unused1>", "<unused2>", "<unused3>", "<unused4>", "<unused5>"]
PAD, EOS, BOS, UNK, MASK, PREFIX, SUFFIX, MIDDLE, SEPARATOR, FIM_PAD = range(10)
BYTES_FROM = len(SPECIAL)
RUNS = [("\n", 12), (SPACE, 40), ("\t", 10)]
LONGEST_TOKEN = 20
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
ALPHABET = 200      # characters with a token of their own; others fall back to bytes


def trained(texts, words, size, **options):
    """Merges that a plain BPE trainer learns, and its characters by frequency."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Split(Regex(words), "isolated")
    tok.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, min_frequency=20, show_progress=False, **options))
    model = json.loads(tok.to_str())["model"]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    return [t for t, _ in sorted(model["vocab"].items(), key=lambda kv: kv[1]) if len(t) == 1], merges


def learn(texts, size, phrases):
    """First words with the space before them, then phrases: merges across spaces, made of whole words.

    Learnt in one go, the trainer would join "s " or "d " first and leave words without their ends.
    """
    texts = [t.replace(" ", SPACE) for t in texts]
    words = rf"\n+|\t+|{SPACE}{{2,}}|[0-9]|{SPACE}?[^\W\d]+|{SPACE}?[^\w\s{SPACE}]+"
    one, merges = trained(texts, words, size + ALPHABET, limit_alphabet=ALPHABET, max_token_length=LONGEST_TOKEN)
    tokens, types, ranked = assemble(one, merges, size - phrases)
    first = CodeTokenizer(tokens, types, ranked)
    # Every token becomes a character of a private alphabet; the trainer then works on those.
    alone = {i for i, t in enumerate(tokens) if i < BYTES_FROM + 256 or t.isdigit() or set(t) in ({"\n"}, {"\t"}) or t.startswith(SPACE * 2)}
    to_char = {i: chr(0x20 if i in alone else 0x10000 + i) for i in range(len(tokens))}
    coded = ["".join(to_char[i] for i in ids) for ids in first.encode_batch(texts[: len(texts) // 2])]
    _, more = trained(coded, r" |[^ ]+", len(tokens) + 2 * phrases, max_token_length=5)
    text_of = lambda chars: "".join(tokens[ord(c) - 0x10000] for c in chars)
    return one, merges, [(text_of(a), text_of(b)) for a, b in more]


def assemble(one, merges, size, phrases=(), room_for_phrases=0):
    """Tokens in id order, their GGUF types, and all merges in rank order."""
    tokens = SPECIAL + [f"<0x{b:02X}>" for b in range(256)]
    types = [CONTROL] * len(SPECIAL) + [BYTE] * 256
    types[UNK] = UNKNOWN
    ranked = []
    for char, longest in RUNS:
        tokens += [char * n for n in range(1, longest + 1)]
        ranked += [(char * a, char * (n - a)) for n in range(2, longest + 1) for a in range(1, n)]
    # Shorter runs first, so that any two neighbours in a run can still merge.
    ranked.sort(key=lambda m: len(m[0]) + len(m[1]))
    have = set(tokens)
    ascii_ = [chr(c) for c in range(33, 127)]
    singles = [c for c in dict.fromkeys(ascii_ + one) if c not in have and c not in "\r "]
    tokens += singles
    have |= set(singles)
    for source, limit in ((merges, size - room_for_phrases), (phrases, size)):
        for a, b in source:
            if len(tokens) < limit and a in have and b in have and len(a + b) <= LONGEST_TOKEN:
                ranked.append((a, b))
                if a + b not in have:
                    tokens.append(a + b)
                    have.add(a + b)
    if len(tokens) != size:
        raise SystemExit(f"only {len(tokens)} tokens learnt")
    types += [NORMAL] * (size - len(types))
    return tokens, types, ranked


class CodeTokenizer:
    """Encodes as the engines do: no pre-tokenizer, control tokens never parsed from text."""

    def __init__(self, tokens, types, merges):
        self.tokens, self.types, self.merges = tokens, types, merges
        vocab = {t: i for i, t in enumerate(tokens)}
        tok = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        tok.normalizer = normalizers.Replace(" ", SPACE)
        tok.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
        self.tok = tok

    @classmethod
    def load(cls, work):
        return cls.restore(json.loads((work / "tokenizer.json").read_text("utf-8")))

    @classmethod
    def restore(cls, saved):
        return cls(saved["tokens"], saved["types"], [tuple(m) for m in saved["merges"]])

    def saved(self):
        return {"tokens": self.tokens, "types": [int(t) for t in self.types], "merges": [list(m) for m in self.merges]}

    def save(self, path):
        path.write_text(json.dumps(self.saved(), ensure_ascii=False), "utf-8")

    def encode(self, text):
        # An engine works on whole texts; lines are independent, since no merge crosses a newline
        # except inside runs of them, and the crate's cache makes repeated ones cheap.
        return self.tok.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts):
        return [e.ids for e in self.tok.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids):
        return self.tok.decode(ids, skip_special_tokens=False)


def check(tok, texts):
    """Round trips, and the promises of this module's first lines."""
    for text in texts:
        if SPACE in text:
            continue
        ids = tok.encode(text)
        assert tok.decode(ids) == text, text[:200]
        by_line = []
        for piece in re.findall(r"[^\n]+|\n+", text):
            by_line += tok.encode(piece)
        assert ids == by_line, "llama.cpp's split at newlines gives other tokens"
    for i, t in enumerate(tok.tokens[BYTES_FROM + 256:], BYTES_FROM + 256):
        assert len(set(t)) == 1 or not (set(t) & set("\n\t0123456789") or SPACE * 2 in t), t


def main():
    p = parser(__doc__)
    p.add_argument("--vocab", type=int, default=8192)
    p.add_argument("--phrases", type=int, default=1200, help="tokens among them that cross a space")
    p.add_argument("--megabytes", type=float, default=24, help="text to learn from")
    p.add_argument("--languages", nargs="*", default=["rust:0.5", "python:0.18", "typescript:0.14", "go:0.08", "c:0.1"], help="LANGUAGE:SHARE")
    p.add_argument("--restore", type=Path, metavar="FILE.gguf", help="take the tokenizer out of a model file instead of learning one")
    args = p.parse_args()
    path = args.work / "tokenizer.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if args.restore:
        from . import gguf_io       # which needs this module
        tok = gguf_io.read_tokenizer(args.restore)
        tok.save(path)
        print(f"{path}: {len(tok.tokens)} tokens of {args.restore}")
        return
    rng = random.Random(0)
    texts, probe = [], []
    for item in args.languages:
        language, share = item.split(":")
        lines = (args.work / f"corpus/train.{language}.jsonl").read_text("utf-8").split("\n")[:-1]
        rng.shuffle(lines)
        budget = float(share) * args.megabytes * 1e6
        for line in lines:
            if budget < 0:
                probe.append(json.loads(line)["text"])
                if len(probe) % 200 == 0:
                    break
                continue
            text = json.loads(line)["text"]
            budget -= len(text)
            texts.append(text)
    one, merges, phrases = learn(texts, args.vocab, args.phrases)
    tok = CodeTokenizer(*assemble(one, merges, args.vocab, phrases, args.phrases))
    check(tok, probe + ["x" * 3000, " " * 100, "\n" * 50, "\t" * 30, "\r\n", "é漢字😊 ok", "a  b\n    c\n\n\n\td 12x34", ""])
    tok.save(path)
    size = sum(len(t.encode()) for t in probe)
    print(f"{args.vocab} tokens; {size / sum(map(len, tok.encode_batch(probe))):.2f} bytes per token on unseen files of the corpus")
    print([t for t in tok.tokens[-60:]])


if __name__ == "__main__":
    main()
