"""Drives Helix with Carat. Started by `run`, which sets CARAT, SCRIPTED, CARAT_SCRIPT, LANGUAGES, FIXTURES and OUT."""

import os
import pathlib
import re
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from terminal import PATIENT, Terminal, passed, until

CARAT, LANGUAGES, FIXTURES, OUT = (os.environ[name] for name in ("CARAT", "LANGUAGES", "FIXTURES", "OUT"))

SCRIPTED, SCRIPT = os.environ["SCRIPTED"], pathlib.Path(os.environ["CARAT_SCRIPT"]).read_text().replace("\n", " ")


def helix(name, program, file, script=None, before=lambda work: None):
    """Helix in a terminal with the shipped configuration, in which `carat` comes from the path."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="carat-helix-"))
    work, config, programs = folder / "project", folder / "config/helix", folder / "bin"
    shutil.copytree(pathlib.Path(FIXTURES, "carets"), work)
    shutil.copytree(pathlib.Path(FIXTURES, "actions"), work, dirs_exist_ok=True)
    (work / ".git").mkdir()
    before(work)
    config.mkdir(parents=True)
    programs.mkdir()
    settings = "".join(f"{name} = {value}\n" for name, value in PATIENT.items())
    (config / "languages.toml").write_text(pathlib.Path(LANGUAGES).read_text() + "\n[language-server.carat.config]\n" + settings)
    (config / "config.toml").write_text("[editor]\ncompletion-timeout = 5\n[editor.word-completion]\nenable = false\n")
    (programs / "carat").symlink_to(program)
    environment = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "XDG_CACHE_HOME": str(folder / "cache"),
                   "PATH": f"{programs}:{os.environ['PATH']}", "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    if script:
        environment["CARAT_TEST_GENERATOR"] = script
    command = ["env", *(f"{key}={value}" for key, value in environment.items()), "hx", file]
    return folder, work, Terminal(f"carat-helix-{name}-{os.getpid()}", command, str(work), OUT)


def end(name, folder, screen):
    log = folder / "cache/helix/helix.log"
    if log.exists():
        shutil.copy(log, pathlib.Path(OUT, f"{name}.log"))
    screen.close()
    shutil.rmtree(folder, ignore_errors=True)


def completes():
    folder, work, screen = helix("menu", CARAT, "word_count.py")
    try:
        screen.shows("word_count.py")
        screen.keys("4", "g", "g", "A")
        screen.type("Cou")
        time.sleep(0.5)
        screen.keys("C-x")
        screen.offers("Counter +text", lambda: screen.keys("C-x"))  # Helix has no entries of its own now
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
        passed("accepted and saved: 'from collections import Counter'")

        screen.keys("Escape")
        time.sleep(0.3)
        screen.keys(*"8", "g", "g", "Space", "a")
        screen.shows("No code actions available")
        screen.picture("3-no-actions")
        passed("a model that takes no instructions offers no code actions")
    finally:
        end("menu", folder, screen)


def choose(screen, line, entry):
    """Opens the menu of code actions on a line and runs an entry."""
    screen.keys("Escape")
    time.sleep(0.3)
    screen.keys(*str(line), "g", "g", "Space", "a")
    screen.shows(entry)
    screen.picture("menu")
    # The first entry is chosen already.
    entries = re.findall(r"Carat: .+", screen.screen())
    for _ in range(next(at for at, found in enumerate(entries) if entry in found)):
        screen.keys("Down")
        time.sleep(0.2)
    screen.keys("Enter")


def acts():
    def mark(work):
        """Helix asks for no instruction: it stands in the code."""
        text = (work / "severity.rs").read_text()
        marked = text.replace("        match self {\n", "        // carat: return a String\n        match self {\n")
        (work / "severity.rs").write_text(marked)

    folder, work, screen = helix("actions", SCRIPTED, "severity.rs", SCRIPT, mark)
    try:
        screen.shows("// carat: return a String")
        time.sleep(2)  # the server is there
        choose(screen, 14, "Carat: Refactor: return a String")
        screen.shows("name.to_owned()")
        screen.picture("4-refactored")
        assert "// carat:" not in screen.screen(), screen.screen()
        screen.type("u")
        screen.shows("// carat: return a String")
        passed("Refactor with an instruction in a comment changes the function; one `u` takes it back")
        choose(screen, 14, "Carat: Explain `as_str`")
        screen.shows("It borrows nothing")
        screen.picture("5-explained")
        passed("Explain opens a page")
    finally:
        end("actions", folder, screen)


completes()
acts()
