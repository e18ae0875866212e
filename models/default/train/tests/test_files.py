"""Files: tokenizer and weights out of a GGUF, checkpoints, schedules, pieces for another machine."""

import json
import tempfile
import unittest
from argparse import Namespace
from pathlib import Path

import torch
from gguf import GGUFReader

from carat_train import checkpoint, config, digest, gguf_io, metadata, pace, pack, tokenizer
from carat_train.model import Model
from carat_train.schedule import Control, Schedule
from carat_train.tokenizer import CodeTokenizer
from carat_train.train import read_source
from carat_train.workdir import TRAIN_DIR
from tests import tiny

SHIPPED = TRAIN_DIR.parent / "carat-default.gguf"


class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.work = Path(cls.folder.name)
        cls.conf = config.load(tiny.make(cls.work))
        cls.tok = CodeTokenizer.load(cls.work)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def saved(self):
        torch.manual_seed(1)
        from dataclasses import asdict
        return {"model": Model(self.conf.model).state_dict(), "settings": asdict(self.conf), "tokenizer": self.tok.saved(), "step": 7, "tokens": 7168,
                "corpus": "c" * 64, "configuration": "tiny"}

    def write(self, name, recipe="f32"):
        saved = self.saved()
        gguf_io.write(self.work / name, self.conf.model, saved["model"], self.tok, recipe, metadata.of_checkpoint(saved))
        return self.work / name

    def test_a_file_gives_its_tokenizer_back(self):
        other = self.work / "other"
        tiny.quietly(tokenizer.main, "--work", other, "--restore", self.write("a.gguf"))
        again = CodeTokenizer.load(other)
        self.assertEqual(digest.tokenizer(again), digest.tokenizer(self.tok))
        self.assertEqual(again.encode("def f(x):\n    return x"), self.tok.encode("def f(x):\n    return x"))

    def test_the_shipped_file_can_be_gone_on_from(self):
        tok = gguf_io.read_tokenizer(SHIPPED)
        self.assertEqual(tok.decode(tok.encode("fn main() {}\n")), "fn main() {}\n")
        shipped = config.load(TRAIN_DIR / "configs/a1.toml")
        state, seen = read_source(SHIPPED, shipped, tok)
        self.assertGreaterEqual(seen, 36_000_000)
        Model(shipped.model).load_state_dict(state)
        with self.assertRaisesRegex(SystemExit, "another vocabulary"):
            read_source(SHIPPED, shipped, self.tok)
        with self.assertRaisesRegex(SystemExit, "another shape"):
            read_source(SHIPPED, config.load(TRAIN_DIR / "configs/c2.toml"), tok)

    def test_tokens_are_counted_from_the_first_file_on(self):
        torch.save(self.saved(), self.work / "c.pt")
        for source in (self.write("c.gguf"), self.work / "c.pt"):
            self.assertEqual(read_source(source, self.conf, self.tok)[1], 7168)

    def test_a_file_says_what_it_knows(self):
        reader = GGUFReader(self.write("b.gguf", "q4_0"))
        value = lambda key: reader.get_field(key).contents()
        self.assertEqual(value("carat.languages"), ["python"])
        self.assertEqual(value("carat.prompt.layouts"), ["suffix-first"])
        self.assertEqual(value("carat.prompt.healing"), "word-signs-space")
        self.assertEqual((value("carat.edition"), value("carat.training.steps"), value("carat.training.tokens")), (2, 7, 7168))

    def test_checkpoints_are_replaced_as_a_whole(self):
        folder = self.work / "run"
        folder.mkdir()
        for step in (1, 2, 3):
            checkpoint.save(folder, {"step": step})
        self.assertEqual([p.name for p in checkpoint.existing(folder)], ["checkpoint-00000003.pt", "checkpoint-00000002.pt"])
        (folder / "checkpoint.tmp").write_bytes(b"half")
        (folder / "checkpoint-00000003.pt").write_bytes(b"damaged")
        self.assertEqual(checkpoint.latest(folder)["step"], 2)

    def test_pieces_put_together_are_the_corpus(self):
        args = Namespace(work=self.work, out=self.work / "pieces", pieces=3, first=0.5, most=38, preset=1, carat=None, wheels=None)
        with tiny.contextlib.redirect_stdout(tiny.io.StringIO()):
            pack.pack(args)
            for k in range(3):
                pack.unpack(args.out / str(k), self.work / "there")
        name = "corpus/train.python.jsonl"
        self.assertEqual((self.work / "there" / name).read_bytes(), (self.work / name).read_bytes())
        self.assertEqual(digest.corpus(self.work / "there/corpus", ["python"]), digest.corpus(self.work / "corpus", ["python"]))
        self.assertEqual(digest.tokenizer(CodeTokenizer.load(self.work / "there")), digest.tokenizer(self.tok))


class Schedules(unittest.TestCase):
    def setUp(self):
        self.conf = config.load(TRAIN_DIR / "configs/c2.toml").train

    def test_from_warm_up_to_zero(self):
        s = Schedule(1000, self.conf)
        factors = [s.factor(i) for i in range(1000)]
        self.assertAlmostEqual(factors[0], 1 / self.conf.warmup)
        self.assertEqual(factors[500], 1.0)
        self.assertTrue(all(a >= b for a, b in zip(factors[700:], factors[701:])))
        self.assertAlmostEqual(factors[999], 1 / 250)
        self.assertFalse(s.quantized(919))
        self.assertTrue(s.quantized(920))

    def test_a_moved_end_never_decays_in_the_past(self):
        s = Schedule(1000, self.conf)
        s.lay(500, 450)
        self.assertEqual(s.factor(449), 1.0)
        self.assertGreater(s.factor(450), 0.95)
        self.assertLess(s.factor(499), 0.05)

    def test_the_pace_meets_a_deadline(self):
        lines = [{"step": i * 10, "time": 1000 + i * 20, "lr": 1.0} for i in range(1, 20)]
        steps = pace.steps_until(lines, lines[-1]["time"] + 1000)
        self.assertEqual(steps, 190 + int(500 * pace.MARGIN))
        self.assertIsNone(pace.steps_until(lines[:2], 5000))
        self.assertEqual(pace.steps_until(lines, 0), 191)

    def test_what_is_written_is_read_once(self):
        with tempfile.TemporaryDirectory() as folder:
            control = Control(Path(folder))
            control.write(10)
            self.assertIsNone(control.asked())
            Control(Path(folder)).write(20)
            self.assertEqual(control.asked(), 20)
            self.assertIsNone(control.asked())
            (Path(folder) / "steps").write_text("many")
            self.assertIsNone(control.asked())


class Configurations(unittest.TestCase):
    def test_all_can_be_read(self):
        for path in (TRAIN_DIR / "configs").glob("*.toml"):
            config.load(path)

    def test_settings_from_the_command_line(self):
        path = TRAIN_DIR / "configs/c2.toml"
        self.assertEqual(config.load(path, ["fim.near_suffix=2"]).fim.near_suffix, 2)
        with self.assertRaisesRegex(SystemExit, "unknown settings"):
            config.load(path, ["fim.nonsense=2"])
        with self.assertRaisesRegex(SystemExit, "save_minutes"):
            config.load(path, ["train.save_minutes=11.0"])

    def test_locks_are_for_the_packages(self):
        from carat_train import fetch
        packages = fetch.packages_toml()
        locks = json.loads(fetch.REGISTRIES.read_text()) | {"rust": fetch.rust_locks()}
        for kind, names in fetch.roots(packages).items():
            for name in names:
                self.assertIn(fetch.group_name(name) if kind == "rust" else name, locks[kind])


if __name__ == "__main__":
    unittest.main()
