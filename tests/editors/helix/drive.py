"""Drives Helix with Carat. Started by `run`, which sets CARAT, LANGUAGES, FIXTURES and OUT."""

import os
import pathlib
import re
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from terminal import Terminal, passed, until

CARAT, LANGUAGES, FIXTURES, OUT = (os.environ[name] for name in ("CARAT", "LANGUAGES", "FIXTURES", "OUT"))

folder = pathlib.Path(tempfile.mkdtemp(prefix="carat-helix-"))
work, config, programs = folder / "project", folder / "config/helix", folder / "bin"
shutil.copytree(FIXTURES, work)
(work / ".git").mkdir()
config.mkdir(parents=True)
programs.mkdir()
shutil.copy(LANGUAGES, config / "languages.toml")  # as it is shipped: `carat` comes from the path
(config / "config.toml").write_text("[editor]\ncompletion-timeout = 5\n[editor.word-completion]\nenable = false\n")
(programs / "carat").symlink_to(CARAT)
environment = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "XDG_CACHE_HOME": str(folder / "cache"),
               "PATH": f"{programs}:{os.environ['PATH']}", "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
command = ["env", *(f"{key}={value}" for key, value in environment.items()), "hx", "word_count.py"]
screen = Terminal(f"carat-helix-{os.getpid()}", command, str(work), OUT)
try:
    screen.shows("word_count.py")
    screen.keys("4", "g", "g", "A")
    time.sleep(2)  # the model is loaded
    screen.type("C")
    time.sleep(0.5)
    screen.keys("C-x")
    until("an entry of the menu", lambda: re.search(r"Counter +text", screen.screen()))  # Helix has no entries of its own now
    screen.picture("1-menu")
    passed("the menu has Carat's entry")
    screen.keys("C-n")  # chooses the first entry
    time.sleep(0.5)
    screen.keys("Enter")
    time.sleep(0.5)
    screen.keys("Escape")
    time.sleep(0.3)
    screen.type(":w")
    screen.keys("Enter")
    line = lambda: (work / "word_count.py").read_text().split("\n")[3]
    until("the file on the disk", lambda: line() == "from collections import Counter")
    screen.picture("2-accepted")
    passed(f"accepted and saved: {line()!r}")
    screen.type(":q!")
    screen.keys("Enter")
finally:
    log = folder / "cache/helix/helix.log"
    if log.exists():
        shutil.copy(log, OUT)
    screen.close()
    shutil.rmtree(folder, ignore_errors=True)
