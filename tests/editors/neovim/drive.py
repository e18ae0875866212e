"""Drives Neovim with Carat's plugin. Started by `run`, which sets CARAT, SCRIPTED, CARAT_SCRIPT, PLUGIN, FIXTURES and OUT."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from terminal import ACCENTS, PATIENT, Terminal, passed, until

CARAT, PLUGIN, FIXTURES, OUT = (os.environ[name] for name in ("CARAT", "PLUGIN", "FIXTURES", "OUT"))
SCRIPTED, SCRIPT = os.environ["SCRIPTED"], pathlib.Path(os.environ["CARAT_SCRIPT"]).read_text().replace("\n", " ")

INIT = """
vim.opt.runtimepath:append({plugin})
vim.o.swapfile, vim.o.shadafile, vim.o.number, vim.o.expandtab, vim.o.shiftwidth = false, 'NONE', true, true, 4
vim.o.laststatus, vim.o.statusline = 2, "%f %= %{{v:lua.require'carat'.statusline()}}"
require('carat').setup({{ cmd = {{ {carat}, 'lsp' }}, settings = vim.json.decode([[{settings}]]) }})
"""


def init(program, settings=None):
    settings = PATIENT if settings is None else settings
    return INIT.format(plugin=json.dumps(PLUGIN), carat=json.dumps(program), settings=json.dumps(settings))


def project():
    """A folder with the fixtures, a configuration, and an environment in which nothing else is found."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="carat-nvim-"))
    work = folder / "project"
    shutil.copytree(pathlib.Path(FIXTURES, "carets"), work)
    for part in ("actions", "workspace"):
        shutil.copytree(pathlib.Path(FIXTURES, part), work, dirs_exist_ok=True)
    (work / "long.rs").write_text("fn long() {\n" + "    step();\n" * 150 + "}\n")
    (work / ".git").mkdir()
    (work / "accents.rs").write_text(ACCENTS)
    (folder / "init.lua").write_text(init(CARAT))
    environment = dict(os.environ, HOME=str(folder), TERM="xterm-256color", LC_ALL="C.UTF-8")
    for name in ("CONFIG", "STATE", "DATA", "CACHE"):
        environment[f"XDG_{name}_HOME"] = str(folder / name.lower())
    return folder, work, environment


class Remote:
    """A Neovim that listens on a socket in its folder."""

    def __init__(self, folder, environment):
        self.socket, self.environment = str(folder / "nvim.sock"), environment
        until("Neovim listens", lambda: os.path.exists(self.socket))

    def remote(self, *arguments):
        command = ["nvim", "--server", self.socket, *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60).stdout

    def lua(self, expression):
        text = self.remote("--remote-expr", "json_encode(luaeval('" + expression.replace("'", "''") + "'))")
        return json.loads(text) if text.strip() else None

    def keys(self, keys):
        self.remote("--remote-send", keys)

    def line(self, number):
        return self.lua(f"vim.api.nvim_buf_get_lines(0, {number - 1}, {number}, false)[1]")

    def ghost(self):
        marks = self.lua("vim.api.nvim_buf_get_extmarks(0, vim.api.nvim_create_namespace('nvim.lsp.inline_completion'), 0, -1, {details = true})")
        texts = ["".join(chunk[0] for chunk in mark[3].get("virt_text", [])) for mark in marks or []]
        return "".join(texts)

    def says(self, command, text):
        """Runs `:Carat COMMAND`, in whichever mode, and gives its message once that holds a text."""
        self.keys(f"<Cmd>messages clear | Carat {command}<CR>")
        messages = lambda: self.lua("vim.fn.execute('messages')")
        until(f":Carat {command} says {text!r}", lambda: text in messages())
        return messages().strip()


class Headless(Remote):
    """A Neovim without a screen, driven over its own socket."""

    def __init__(self, folder, file, environment):
        command = ["nvim", "--headless", "-u", str(folder / "init.lua"), "--listen", str(folder / "nvim.sock"), str(file)]
        self.process = subprocess.Popen(command, env=environment, cwd=folder, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        super().__init__(folder, environment)

    def close(self):
        self.keys("<C-\\><C-n>:qa!<CR>")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def headless():
    folder, work, environment = project()
    nvim = Headless(folder, work / "inventory.rs", environment)
    try:
        until("the server is attached", lambda: nvim.lua("#vim.lsp.get_clients({name = 'carat', bufnr = 0})") == 1)
        passed("the plugin starts the server by itself")
        until("the status names the model", lambda: nvim.lua("require('carat').statusline()") == "carat default")
        passed("status line: carat default")

        nvim.keys("27GAself.items.get(")
        ghost = until("ghost text", nvim.ghost)
        before = nvim.line(27)
        nvim.keys("<Tab>")
        until("the ghost text is in the buffer", lambda: nvim.line(27) == before + ghost.rstrip())
        nvim.keys("<Esc>:w<CR>")
        saved = lambda: (work / "inventory.rs").read_text().split("\n")[26]
        until("it is on the disk", lambda: saved() == before + ghost.rstrip())
        passed(f"<Tab> takes the ghost text; on the disk: {saved().strip()!r}")

        nvim.keys("18GO<Tab>x<Esc>")
        until("a plain <Tab>", lambda: nvim.line(18) == "    x")
        passed("<Tab> indents where there is no ghost text")
        nvim.keys("u27Goi<C-n>")
        until("a menu", lambda: nvim.lua("vim.fn.pumvisible()") == 1)
        time.sleep(1)
        chosen = nvim.line(28)
        nvim.keys("<Tab>x")
        until("the key is through", lambda: nvim.line(28).endswith("x"))
        assert nvim.line(28).removesuffix("x").rstrip() == chosen, (chosen, nvim.line(28))
        passed(f"<Tab> in a menu does what it does without Carat: {nvim.line(28).strip()!r}")
        nvim.keys("<Esc>u")

        # As snippet plugins bind it: an expression that names keys, one of them to be mapped again.
        nvim.keys(":inoremap <lt>Plug>(probe) probe<CR>")
        for key, holds in (("F8", "v:true"), ("F9", "v:false")):
            nvim.keys(f":imap <lt>silent><lt>expr> <lt>{key}> {holds} ? '<lt>Plug>(probe)' : '<lt>Tab>'<CR>")
        # As plugins in Vim's own language do it, and as users switch a key off.
        probe = work / "probe.vim"
        probe.write_text("function! s:probe()\n  return 'sid'\nendfunction\ninoremap <expr> <F7> <SID>probe()\ninoremap <F6> <Nop>\n")
        nvim.keys(f":source {probe}<CR>")
        for key, wanted in (("F6", "x"), ("F7", "sidx"), ("F8", "probex"), ("F9", "    x")):
            nvim.keys(f":lua {key} = vim.fn.maparg('<lt>{key}>', 'i', false, true)<CR>")
            nvim.keys(f":lua vim.keymap.set('i', '<lt>{key}>', function() return require('carat').fall_through('<lt>{key}>', {key}) end, {{ expr = true, replace_keycodes = false }})<CR>")
            nvim.keys(f"18GO<{key}>x<Esc>")
            until(f"what {key} did before", lambda: nvim.line(18) == wanted)
            nvim.keys("u")
        passed("a mapping from before is followed, also to <Plug>, <SID> and <Nop>")

        nvim.keys(f":e! {work}/accents.rs<CR>")
        until("the second file", lambda: nvim.lua("vim.fn.expand('%:t')") == "accents.rs")
        until("the server is attached", lambda: nvim.lua("#vim.lsp.get_clients({name = 'carat', bufnr = 0})") == 1)
        nvim.keys("5GAothers: HashMap<lt>String, u32> = Hash")
        ghost = until("ghost text behind an emoji", nvim.ghost)
        before = nvim.line(5)
        # Its first letter and <Tab> at once, before Neovim asks again.
        nvim.keys(ghost[0].replace("<", "<lt>") + "<Tab>")
        until("text behind an emoji", lambda: nvim.line(5) == before + ghost.rstrip())
        passed(f"text behind é and an emoji, typed a letter further, lands where it belongs: {nvim.line(5).strip()!r}")
        nvim.keys("<Esc>")

        nvim.keys(":Carat toggle<CR>")
        until("a pause", lambda: nvim.lua("require('carat').status().state") == "paused")
        nvim.keys("ofn f() {")
        time.sleep(2)
        assert nvim.ghost() == "", "paused, and yet there is ghost text"
        nvim.keys("<Esc>:Carat toggle<CR>")
        until("no pause", lambda: nvim.lua("require('carat').status().state") in ("ready", "busy"))
        passed(":Carat toggle pauses and resumes")

        nvim.keys(":Carat prompt<CR>")
        until("the page", lambda: nvim.lua("vim.w.carat_page") == "prompt")
        assert any(line.startswith("--- completion") for line in nvim.lua("vim.api.nvim_buf_get_lines(0, 0, -1, false)"))
        passed(":Carat prompt shows the last prompt")
        nvim.keys(":q<CR>")

        nvim.remote("--remote-expr", "execute('checkhealth carat')")
        report = nvim.lua("vim.api.nvim_buf_get_lines(0, 0, -1, false)")
        text = "\n".join(report)
        pathlib.Path(OUT, "checkhealth.txt").write_text(text)
        assert "ERROR" not in text and "WARNING" not in text, text
        assert "shows ghost text" in text and "serves" in text, text
        passed(":checkhealth carat finds nothing wrong")
        docs = folder / "doc"
        shutil.copytree(pathlib.Path(PLUGIN, "doc"), docs)
        nvim.remote("--remote-expr", f"execute('helptags {docs}')")
        tags = (docs / "tags").read_text().splitlines()
        assert any(tag.startswith(":Carat\t") for tag in tags) and any(tag.startswith("carat-keys\t") for tag in tags), tags
        passed(f"the help file has {len(tags)} tags")
    finally:
        nvim.close()
        shutil.rmtree(folder, ignore_errors=True)


def without_program():
    folder, work, environment = project()
    (folder / "init.lua").write_text(init("/nonexistent/carat"))
    nvim = Headless(folder, work / "severity.rs", environment)
    try:
        nvim.remote("--remote-expr", "execute('checkhealth carat')")
        text = "\n".join(nvim.lua("vim.api.nvim_buf_get_lines(0, 0, -1, false)"))
        assert "is not executable" in text and "cargo install" in text, text
        passed("without the program, :checkhealth carat says what to do")
    finally:
        nvim.close()
        shutil.rmtree(folder, ignore_errors=True)


LATE = """
vim.o.swapfile, vim.o.shadafile = false, 'NONE'
vim.api.nvim_create_autocmd('InsertEnter', {{ once = true, callback = function()
  vim.opt.runtimepath:append({plugin})
  vim.cmd.runtime('plugin/carat.lua')
end }})
"""


def projects_share_a_server():
    """A plugin that a manager loads late, two projects at once, and another server in the place of theirs."""
    folder, work, environment = project()
    (folder / "init.lua").write_text(LATE.format(plugin=json.dumps(PLUGIN)))
    environment["PATH"] = f"{pathlib.Path(CARAT).parent}:{environment['PATH']}"
    second = folder / "second"
    (second / ".git").mkdir(parents=True)
    (second / "build.sh").write_text("echo built\n")
    (second / "one.rs").write_text("fn one() {}\n")
    nvim = Headless(folder, work / "severity.rs", environment)
    clients = lambda: nvim.lua("vim.tbl_map(function(client) return client.id end, vim.lsp.get_clients({name = 'carat'}))")
    attached = lambda: nvim.lua("#vim.lsp.get_clients({name = 'carat', bufnr = 0})") == 1
    try:
        assert clients() in ([], {}), clients()
        nvim.keys("i<Esc>")
        until("the server is attached", attached)
        passed("the plugin starts the server when it is loaded after start-up")

        before = clients()
        nvim.keys(f":e {second / 'build.sh'}<CR>")
        until("the server has the other project's file, too", attached)
        files = len([path for place in (work, second) for path in place.rglob("*") if path.is_file()])
        known = lambda: nvim.lua("require('carat').status().workspace") or {}
        until("both projects are read", lambda: known().get("files") == files and not known()["reading"])
        assert clients() == before, (before, clients())
        passed(f"two projects have one server, which reads the {files} files of both")

        assert "languages = { shellscript = false }" in nvim.says("off", "shellscript is off")
        passed(":Carat off calls a language what other editors call it")

        nvim.keys(":Carat restart<CR>")
        until("another server", lambda: len(clients()) == 1 and clients() != before and attached())
        until("it is ready", lambda: nvim.lua("require('carat').statusline()").startswith("carat default"))
        assert nvim.lua("vim.tbl_count(vim.lsp.get_clients({name = 'carat'})[1].attached_buffers)") == 2
        passed(":Carat restart gives both files another server, and the status line is that one's")
    finally:
        nvim.close()
        shutil.rmtree(folder, ignore_errors=True)


def editor_on_a_screen(name, program, file, script=None, settings=None):
    """Neovim in a terminal, with a program, and with a script for it."""
    folder, work, environment = project()
    (folder / "init.lua").write_text(init(program, settings))
    kept = {"HOME", "TERM", "LC_ALL", "PATH"}
    command = ["env", *(f"{key}={value}" for key, value in environment.items() if key in kept or key.startswith("XDG_"))]
    command += [f"CARAT_TEST_GENERATOR={script}"] if script else []
    screen = Terminal(f"carat-nvim-{name}-{os.getpid()}", [*command, "nvim", "-u", str(folder / "init.lua"), "--listen", str(folder / "nvim.sock"), file], str(work), OUT)
    return folder, work, screen


def ghost_on_a_screen():
    folder, work, screen = editor_on_a_screen("ghost", CARAT, "word_count.py")
    try:
        screen.shows("carat default")
        screen.keys("4G", "A")
        screen.type("Cou")
        screen.shows("import Counter")
        screen.picture("1-ghost")
        screen.keys("Tab")
        time.sleep(0.5)
        screen.keys("Escape")
        time.sleep(0.3)
        screen.keys(":w", "Enter")
        until("the file on the disk", lambda: "from collections import Counter" in (work / "word_count.py").read_text())
        screen.picture("2-accepted")
        passed("in a terminal: ghost text on the screen, taken with <Tab>, saved")
        screen.keys(":qa!", "Enter")
    finally:
        screen.close()
        shutil.rmtree(folder, ignore_errors=True)


def actions_without_a_model():
    """The embedded model takes no instructions; that is said, and what to do."""
    folder, _, screen = editor_on_a_screen("refused", CARAT, "severity.rs")
    try:
        screen.shows("carat default")
        screen.keys("14G")
        screen.type(":Carat explain")
        screen.keys("Enter")
        screen.shows("takes instructions")
        assert "carat model pull" in screen.screen(), screen.screen()
        screen.picture("3-explain-refused")
        passed("in a terminal: without a model for it, :Carat explain says which command gets one")

        screen.keys("Enter")  # the message is longer than a line
        until("an empty command line", lambda: "takes instructions" not in screen.screen())
        screen.type(":Carat refactor")
        screen.keys("Enter")
        screen.shows("takes instructions")
        passed("in a terminal: :Carat refactor says so before it asks what is to change")
    finally:
        screen.close()
        shutil.rmtree(folder, ignore_errors=True)


def actions_on_a_screen():
    """Code actions with scripted answers, from the command or the menu to the buffer."""
    folder, work, screen = editor_on_a_screen("actions", SCRIPTED, "severity.rs", SCRIPT)
    try:
        screen.shows("carat scripted")
        screen.keys("14G")
        screen.type(":Carat explain")
        screen.keys("Enter")
        screen.shows("It borrows nothing")
        screen.picture("4-explained")
        passed("in a terminal: :Carat explain opens a page")

        screen.type(":buffer severity.rs | only")
        screen.keys("Enter", "14G")
        screen.type(":Carat refactor")
        screen.keys("Enter")
        screen.shows("What is to change?")
        screen.picture("5-refactor-asks")
        screen.type("return a String")
        screen.keys("Enter")
        screen.shows("name.to_owned()")
        screen.picture("6-refactored")
        assert "-> &'static str" not in screen.screen(), screen.screen()
        screen.keys("u")
        until("the old function", lambda: "to_owned" not in screen.screen() and "-> &'static str" in screen.screen())
        passed("in a terminal: :Carat refactor asks, changes the function, and one `u` takes it back")

        screen.keys("14G")
        screen.type("gra")
        screen.shows("Write tests of `as_str`")
        screen.picture("7-menu")
        number = next(line.split(":")[0].strip() for line in screen.screen().split("\n") if "Explain `as_str`" in line)
        screen.type(number)
        screen.keys("Enter")
        screen.shows("It borrows nothing")
        passed("in a terminal: `gra` shows the menu, and its entry runs")

        screen.type(":edit word_count.py | only")
        screen.keys("Enter", "8G")
        screen.type("gra")
        screen.shows("Write tests of `words`")
        number = next(line.split(":")[0].strip() for line in screen.screen().split("\n") if "Write tests of `words`" in line)
        screen.type(number)
        screen.keys("Enter")
        screen.shows("def test_words")
        screen.picture("8-tests")
        passed("in a terminal: `Write tests` opens a new file")
        screen.type(":wall")
        screen.keys("Enter")
        until("the tests on the disk", lambda: "def test_words" in (work / "test_word_count.py").read_text())

        screen.type(":edit long.rs | only")
        screen.keys("Enter", "20G")
        screen.type(":Carat refactor")
        screen.keys("Enter")
        screen.shows("What is to change?")
        screen.type("return a String")
        screen.keys("Enter")
        screen.shows("`long` has 152 lines")
        screen.picture("9-too-long")
        passed("in a terminal: a function that is too long is refused by its name")
    finally:
        screen.close()
        shutil.rmtree(folder, ignore_errors=True)


def two_models_on_a_screen():
    """A quick model while typing, a slow one once the caret rests, and its explanation while typing goes on."""
    slow = {"text": "by_the_large_model();", "log_prob": -0.01, "prefill_ms": 1500, "answer_prefill_ms": 5000}
    slow["answers"] = ["It is what the **large** model says.\n"]
    script = {"text": "by_the_small_model();", "log_prob": -0.1, "models": {"large.gguf": slow}}
    settings = {"models": {"rest": "large.gguf", "actions": "large.gguf"}}
    folder, _, screen = editor_on_a_screen("two", SCRIPTED, "severity.rs", json.dumps(script), settings)
    nvim = Remote(folder, dict(os.environ, HOME=str(folder)))
    try:
        screen.shows("carat large.gguf, default")
        screen.keys("14G")
        screen.type("olet a = ")
        screen.shows("by_the_small_model();")
        screen.picture("12-small-at-once")
        screen.shows("by_the_large_model();")
        screen.picture("13-large-at-rest")
        passed("in a terminal: the small model's line stands at once, the large one's once the caret rests")
        screen.keys("Escape")
        screen.keys("u")
        screen.keys("14G")
        screen.type(":Carat explain")
        screen.keys("Enter")
        screen.type("olet b = ")
        screen.shows("by_the_small_model();")
        assert "model says" not in screen.screen()
        screen.picture("14-typing-while-it-is-explained")
        screen.shows("model says")
        screen.picture("15-explained")
        passed("in a terminal: ghost text comes while an explanation is on its way, which then opens")
    finally:
        screen.close()
        shutil.rmtree(folder, ignore_errors=True)


def manners_on_a_screen():
    """Parts of an answer, other answers, and all the ways to be left alone and to be told why."""
    folder, work, screen = editor_on_a_screen("manners", CARAT, "stack.rs")
    nvim = Remote(folder, dict(os.environ, HOME=str(folder)))
    answers = "vim.lsp.inline_completion and require('vim.lsp._capability').all.inline_completion.active[vim.api.nvim_get_current_buf()]:count_items()"
    try:
        screen.shows("carat default")
        nvim.lua("vim.api.nvim_set_option_value('cmdheight', 3, {})")  # room for a sentence

        (work / "names.rs").write_text(
            "use std::collections::HashMap;\n\nstruct Names {\n    items: Vec<String>,\n    by_key: HashMap<String, usize>,\n}\n\n"
            "impl Names {\n    fn push(&mut self, name: String) {\n        self.items.push(name);\n        self.by_key.\n    }\n}\n"
        )
        nvim.keys(f":e {work}/names.rs<CR>11GA")
        before = nvim.line(11)
        screen.keys("M-\\")
        until("several answers", lambda: nvim.lua(answers) > 1)
        first = until("the first", nvim.ghost)
        screen.keys("M-]")
        screen.shows("(2/")
        second = nvim.ghost().rsplit(" (", 1)[0]
        assert second and second != first, (first, second)
        screen.picture("10-alternatives")
        screen.keys("M-[")
        screen.shows("(1/")
        passed(f"in a terminal: who asks gets other answers, too: {first.strip()!r}, {second.strip()!r}")

        word = nvim.lua(f"require('carat').word({json.dumps(first)})")
        assert word and first.startswith(word) and word != first, (word, first)
        screen.keys("C-Right")
        until("a word in the buffer", lambda: nvim.line(11) == before + word)
        until("the rest of it", lambda: nvim.ghost() == first.removeprefix(word))
        screen.picture("11-word")
        screen.keys("C-End")
        until("the line in the buffer", lambda: nvim.line(11) == (before + first).split("\n")[0])
        passed(f"in a terminal: <C-Right> takes {word.strip()!r}, <C-End> the rest of the line")

        nvim.keys(f"<Esc>:w<CR>:e {work}/inventory.rs<CR>27GAself.items.get(")
        until("ghost text", nvim.ghost)
        passed("why there is text: " + nvim.says("why", "Text is shown"))
        screen.keys("C-]")
        until("no ghost text", lambda: nvim.ghost() == "")
        passed("why none after <C-]>: " + nvim.says("why", "dismissed or undone"))
        assert nvim.ghost() == "", nvim.ghost()
        screen.picture("12-dismissed")

        is_quiet = lambda: "(quiet here)" in nvim.lua("require('carat').statusline()")
        says = nvim.says("off rust", "rust is off")
        nvim.says("why", "switched off for rust")
        nvim.keys("<Esc>o")
        until("the status line says that it is quiet here", is_quiet)
        screen.picture("13-off")
        nvim.says("on rust", "rust is on")
        until("the status line says so no more", lambda: not is_quiet())
        passed(f"a language is switched off and on: {says}")

        (work / "add.lua").write_text("local function add(a, b)\n\treturn \nend\n")
        nvim.keys(f"<Esc>:w<CR>:e {work}/add.lua<CR>2GA")
        until("the status line says that it is quiet here", is_quiet)
        passed("a language that the model does not know: " + nvim.says("why", "C++ and Go, not Lua"))
        screen.picture("14-quiet")
        assert nvim.ghost() == "", nvim.ghost()
        screen.keys("M-\\")
        passed(f"and who asks is answered there: {until('an answer', nvim.ghost)!r}")
        nvim.keys("<Esc>")

        nvim.says("snooze 10", "paused for 10 minutes")
        screen.shows("(paused)")
        passed("snoozing: " + nvim.says("status", "resumes by itself after 10 min"))
        screen.picture("15-snoozing")
        passed("why: " + nvim.says("why", "completion is paused"))
        nvim.says("snooze 0.02", "paused for 0.02 minutes")
        until("no pause", lambda: nvim.lua("require('carat').status().state") in ("ready", "busy"))
        passed("a snooze ends by itself")
    finally:
        screen.picture("last")
        screen.close()
        shutil.rmtree(folder, ignore_errors=True)


def workspace_on_a_screen():
    """What files of the workspace say that nobody has opened."""
    folder, work, screen = editor_on_a_screen("workspace", CARAT, "src/new_caller.rs")
    nvim = Remote(folder, dict(os.environ, HOME=str(folder)))
    buffers = lambda: [pathlib.Path(name).name for name in nvim.lua("vim.tbl_map(vim.api.nvim_buf_get_name, vim.api.nvim_list_bufs())")]
    try:
        screen.shows("carat default")
        files = len([path for path in work.rglob("*") if path.is_file()])
        read = until("the workspace is read", lambda: (known := nvim.lua("require('carat').status().workspace")) and not known["reading"] and known)
        assert read["files"] == files, (read, files)

        screen.keys("2G", "A")
        screen.type("store.insert_le")
        until("the rest of the name", lambda: nvim.ghost().startswith("dger_record("))
        screen.picture("16-other-file")
        assert buffers() == ["new_caller.rs"], buffers()
        wanted = nvim.line(2) + nvim.ghost().rstrip()
        screen.keys("Tab")
        until("the call in the buffer", lambda: nvim.line(2) == wanted)
        passed(f"in a terminal: a function of a file that nobody opened is offered at its call: {wanted.strip()!r}")

        nvim.keys("<Esc>:w<CR>:e src/rotate.rs<CR>i")
        until("a new file", lambda: buffers() == ["new_caller.rs", "rotate.rs"])
        screen.type("impl Ledger {")
        screen.keys("Enter")
        screen.type("pub fn rotate(&mut self) {")
        screen.keys("Enter")
        screen.type("let _gu")
        before = nvim.line(3)
        until("the rest of the line", lambda: nvim.ghost() == "ard = self.ledger_span.enter();")
        screen.picture("17-usual-line")
        screen.keys("Tab")
        until("the line in the buffer", lambda: nvim.line(3) == before + "ard = self.ledger_span.enter();")
        nvim.keys("<Esc>:w<CR>")
        until("the line on the disk", lambda: "let _guard = self.ledger_span.enter();" in map(str.strip, (work / "src/rotate.rs").read_text().split("\n")))
        screen.picture("18-usual-line-accepted")
        passed(f"in a terminal: a line as it is always written comes back in a new file: {nvim.line(3).strip()!r}")
    finally:
        screen.picture("last")
        screen.close()
        shutil.rmtree(folder, ignore_errors=True)


SCENES = [headless, without_program, projects_share_a_server, ghost_on_a_screen, actions_without_a_model, actions_on_a_screen, two_models_on_a_screen, manners_on_a_screen, workspace_on_a_screen]
for scene in SCENES:
    if os.environ.get("ONLY") in (None, "", scene.__name__):
        scene()
