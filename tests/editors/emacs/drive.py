"""Drives Emacs with the configurations of its page. Started by `run`, which sets CARAT, SCRIPTED, CARAT_SCRIPT, PAGE, FIXTURES, SYSTEM and OUT."""

import os
import pathlib
import re
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from terminal import PATIENT, Terminal, passed, until

CARAT, FIXTURES, OUT, SYSTEM = (os.environ[name] for name in ("CARAT", "FIXTURES", "OUT", "SYSTEM"))
SCRIPTED, SCRIPT = os.environ["SCRIPTED"], pathlib.Path(os.environ["CARAT_SCRIPT"]).read_text().replace("\n", " ")
LSP_MODE, MANNERS, EGLOT = re.findall(r"```elisp\n(.*?)```", pathlib.Path(os.environ["PAGE"]).read_text(), re.DOTALL)

# How busy the machine is decides no answer.
OPTIONS = " ".join(f":{name} {value}" for name, value in PATIENT.items())
assert ":server-id 'carat" in LSP_MODE, LSP_MODE
LSP_MODE = LSP_MODE.replace(":server-id 'carat", f":initialization-options '({OPTIONS}) :server-id 'carat")

LSP_MODE += MANNERS

# What has nothing to do with Carat: no questions at the start, no files left behind.
QUIET = """
(package-initialize)
(setq inhibit-startup-screen t make-backup-files nil auto-save-default nil create-lockfiles nil use-short-answers t
      lsp-auto-guess-root t lsp-enable-suggest-server-download nil lsp-restart 'ignore python-indent-guess-indent-offset nil)
"""


def emacs(name, program, script, configuration, file):
    """Emacs in the other system's root, with a project and `carat` on its path."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="carat-emacs-", dir=pathlib.Path(SYSTEM, "tmp")))
    inside = "/" + str(folder.relative_to(SYSTEM))
    work = folder / "project"
    for part in ("carets", "actions"):
        shutil.copytree(pathlib.Path(FIXTURES, part), work, dirs_exist_ok=True)
    (work / ".git").mkdir()
    shutil.copy(program, folder / "carat")
    (folder / "init.el").write_text(QUIET + configuration)
    environment = [f"HOME={inside}", f"PATH={inside}:/usr/bin:/bin", "TERM=xterm-256color", "LC_ALL=C.UTF-8"]
    if script:
        environment.append(f"CARAT_TEST_GENERATOR={script}")
    command = ["chroot", SYSTEM, "env", "-i", "-C", f"{inside}/project", *environment, "emacs", "-nw", "-q", "-l", f"{inside}/init.el", file]
    return folder, work, Terminal(f"carat-emacs-{name}-{os.getpid()}", command, "/", OUT)


def end(folder, screen):
    screen.close()
    shutil.rmtree(folder, ignore_errors=True)


def save(screen):
    screen.keys("C-x", "C-s")
    time.sleep(0.5)


def quit(screen):
    """Ends what asks, and hides ghost text."""
    screen.keys("C-g")
    time.sleep(0.5)  # what is typed behind it at once is thrown away with it


def go_to(screen, line):
    def go():
        quit(screen)
        screen.keys("M-g", "g")
        screen.type(str(line))
        screen.keys("Enter")

    go()
    screen.offers(rf"\bL{line}\b", go)  # in the mode line


def act(screen, command, entry):
    def call():
        quit(screen)
        screen.keys("M-x")
        screen.type(command)
        screen.keys("Enter")

    call()
    screen.offers(r"(?m)action.*:\s*\Z", call)
    time.sleep(0.5)
    screen.type(entry)
    screen.keys("Enter")


def ghost():
    folder, work, screen = emacs("ghost", CARAT, None, LSP_MODE, "word_count.py")
    try:
        screen.shows("LSP")
        go_to(screen, 4)
        screen.keys("C-e")
        screen.type("Cou")
        screen.offers("import Counter", lambda: screen.keys("BSpace", "u"))
        screen.picture("1-ghost")
        screen.keys("Tab")
        time.sleep(1)
        save(screen)
        line = lambda: (work / "word_count.py").read_text().split("\n")[3]
        until("the file on the disk", lambda: line() == "from collections import Counter")
        screen.picture("2-accepted")
        passed(f"lsp-mode: ghost text, taken with TAB, saved: {line()!r}")
        go_to(screen, 8)
        quit(screen)
        screen.keys("M-x")
        screen.type("lsp-execute-code-action")
        screen.keys("Enter")
        screen.shows("No code actions")
        screen.picture("3-no-actions")
        passed("lsp-mode: a model that takes no instructions offers no code actions")

        go_to(screen, 11)
        screen.keys("C-e", "Enter")
        screen.type("from collections import Cou")
        screen.offers("import Counter", lambda: screen.keys("BSpace", "u"))
        screen.keys("M-Right")
        until("a word of it", lambda: "import Counter" in screen.screen())
        quit(screen)
        screen.keys("M-x")
        screen.type("carat-why")
        screen.keys("Enter")
        screen.shows(" is shown")
        screen.picture("6-why")
        passed("lsp-mode: carat-why says why")
        for command, argument in (("carat-snooze", "5"), ("carat-off", "python")):
            screen.keys("M-x")
            screen.type(command)
            screen.keys("Enter")
            time.sleep(0.5)
            screen.type(argument)
            screen.keys("Enter")
            time.sleep(0.5)
        screen.keys("M-x")
        screen.type("carat-why")
        screen.keys("Enter")
        screen.shows("completion is paused")
        passed("lsp-mode: carat-snooze pauses")
    finally:
        end(folder, screen)


def acts(name, configuration, command, attached):
    folder, _, screen = emacs(name, SCRIPTED, SCRIPT, configuration, "word_count.py")
    try:
        screen.shows(attached)
        time.sleep(1)
        go_to(screen, 8)
        act(screen, command, "Carat: Explain")
        screen.shows("It borrows nothing")
        screen.picture(f"4-{name}-explained")
        passed(f"{name}: Explain opens a page")
        if name == "eglot":
            screen.keys("C-x", "0", "M-<")
            go_to(screen, 11)
            screen.type("x = ")
            screen.keys("C-M-i")
            screen.shows("x = 42")
            screen.picture("5-eglot-completed")
            passed("eglot: completion inserts Carat's text")
    finally:
        end(folder, screen)


ghost()
acts("lsp-mode", LSP_MODE, "lsp-execute-code-action", "LSP[carat")
acts("eglot", EGLOT, "eglot-code-actions", "[eglot")
