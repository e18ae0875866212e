"""Samples: where holes are cut, what rows hold, what is retrieved."""

import json
import random
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

from carat_train import fim, gates, layout
from carat_train import tokenizer as tk
from carat_train.config import load
from carat_train.loader import Loader
from carat_train.schedule import Schedule
from tests import tiny


class Healing(unittest.TestCase):
    def test_where_prompts_are_cut(self):
        for caret, cut in [
            ("let x = self", "let x ="), ("let x = self.fo", "let x = self."), ("let x = ", "let x"), ("let x =", "let x"),
            ("foo.", "foo"), ("foo()", "foo"), ("foo(a,", "foo(a"), ("    foo", "    "), ("    ", "    "), ("", ""), ("    let ", "    let"),
            ("a  ", "a  "), ("if (größe", "if ("), ("x = \"a-b", "x = \"a-"), ("\tfoo", "\t"), ("} ", ""),
        ]:
            with self.subTest(caret=caret):
                text = "before\n" + caret
                self.assertEqual(text[:fim.healed(text, len(text))], "before\n" + cut)

    def test_a_cut_stays_in_the_line_and_out_of_the_indentation(self):
        rng = random.Random(1)
        for _ in range(3000):
            text = "".join(rng.choice("ab_1 .(=\t\né") for _ in range(rng.randint(0, 40)))
            at = fim.healed(text, len(text))
            removed = text[at:]
            self.assertNotIn("\n", removed)
            if removed:
                self.assertTrue(text[:at].rpartition("\n")[2].strip() or removed.strip())


class Rows(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.work = Path(cls.folder.name)
        cls.conf = load(tiny.make(cls.work))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def loader(self, **changes):
        fim_changes = {k: v for k, v in changes.items() if hasattr(self.conf.fim, k)}
        conf = replace(self.conf, fim=replace(self.conf.fim, **fim_changes), decay_fim=replace(self.conf.decay_fim, **fim_changes))
        schedule = Schedule(100, conf.train)
        return Loader(self.work, conf, schedule, 0, 0, 0)

    def test_every_row_is_full_and_marked(self):
        for near in (0, 2):
            loader = self.loader(near_suffix=near, with_chunks=1.0)
            seen = set()
            for i in range(60):
                x, y, w = loader.make(i)
                self.assertEqual(x.numel(), self.conf.train.tokens_per_batch)
                self.assertEqual((x.numel(),), tuple(y.shape))
                self.assertEqual(y.shape, w.shape)
                self.assertTrue((w[y == tk.PAD] == 0).all())
                seen |= set(x.flatten().tolist()) & set(range(10))
                for row in x.tolist():
                    self.assertEqual(row[0], tk.BOS)
            self.assertLessEqual({tk.BOS, tk.PREFIX, tk.SUFFIX, tk.MIDDLE, tk.SEPARATOR}, seen)
            self.assertEqual(tk.FIM_PAD in seen, near > 0)

    def test_batches_depend_on_their_number_alone(self):
        a, b = self.loader(), self.loader()
        for i in (7, 3, 7, 0):
            for left, right in zip(a.make(i), b.make(i)):
                self.assertTrue(left.equal(right))

    def test_samples_of_processes_are_the_same(self):
        here = self.loader()
        conf = here.conf
        there = Loader(self.work, conf, here.schedule, 0, 0, 2)
        self.addCleanup(there.close)
        for i in range(6):
            for left, right in zip(here.make(i), there.get(i)):
                self.assertTrue(left.equal(right))

    def test_the_answer_is_behind_the_prompt_of_the_server(self):
        tok = self.loader().samplers[0].tok
        case = {"prefix": "import os\n\ndef f(x):\n    ", "middle": "return x", "suffix": "\n\ndef g(y):\n    return y\n"}
        ids = layout.prompt(tok, case, 50, 50)
        self.assertEqual(ids[:3], [tk.BOS, tk.PREFIX, tk.SUFFIX])
        self.assertEqual(tok.decode(ids[3:ids.index(tk.MIDDLE)]), case["suffix"])
        self.assertEqual(tok.decode(ids[ids.index(tk.MIDDLE) + 1:]), case["prefix"])
        near = layout.prompt(tok, case, 50, 50, near_suffix=1)
        tail = near[near.index(tk.MIDDLE) + 1:]
        a, b = [i for i, t in enumerate(tail) if t == tk.FIM_PAD]
        self.assertEqual(tok.decode(tail[a + 1:b]), "def g(y):")
        self.assertEqual(tok.decode(tail[b + 1:]), "    ")
        pieces = [("far.py", "x = 1"), ("near.py", "y = 2")]
        told = layout.prompt(tok, case, 50, 50, chunks=pieces)
        self.assertEqual(told[-len(ids) + 1:], ids[1:])
        self.assertEqual(tok.decode(told[1:told.index(tk.SEPARATOR)]), "far.py\nx = 1\n")
        cut = layout.prompt(tok, case, 50, 50, chunks=pieces, chunk_tokens=3)
        self.assertEqual(cut[:5], [tk.BOS, *told[-len(ids) - 2:-len(ids) + 1], tk.PREFIX])

    def test_a_call_finds_the_function_of_another_file(self):
        lines = [{"project": "p", "path": f"p-1/{name}.py", "text": text} for name, text in {
            "use": "from store import remember_quantity\n\nremember_quantity(3, width_of_shelf)\n" * 4,
            "store": "x = 1\n" * 200 + "def remember_quantity(count, width_of_shelf):\n    return count\n" + "y = 2\n" * 200,
            "other": "def something_else():\n    return None\n" * 30}.items()]
        path = self.work / "corpus/train.made.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        files = fim.Files(path).indexed()
        (best, piece), = files.index.similar(0, files.texts[0], 1, random.Random(1))
        self.assertEqual(best, 1)
        self.assertIn("def remember_quantity", piece)
        self.assertEqual(files.index.similar(0, "nothing_of_it anywhere", 2, random.Random(1)), [])
        self.assertEqual(files.index.similar(0, "", 2, random.Random(1)), [])
        case = {"project": "p", "prefix": files.texts[0][:300], "middle": files.texts[0][300:310], "suffix": files.texts[0][310:]}
        self.assertEqual([path for path, _ in gates.similar(files, case)][-1], "store.py")
        self.assertEqual(gates.similar(files, case | {"project": "unknown"}), [])


if __name__ == "__main__":
    unittest.main()
