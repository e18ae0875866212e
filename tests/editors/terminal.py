"""A terminal program in tmux: keys in, screen out. And waiting with a deadline."""

import pathlib
import re
import subprocess
import sys
import time

# A busy machine takes long for what an idle one does at once.
PATIENCE_S = 60

# Settings of every editor: how busy the machine is decides no answer.
PATIENT = {"deadlineMs": 30000, "explicitDeadlineMs": 30000, "menuDeadlineMs": 30000}

# A line of Rust with signs of two, three and four bytes, and its beginning, behind which any model knows the rest. What
# a model is unsure of is not shown, so every step types where it is sure.
ACCENTS = "use std::collections::HashMap;\n\nfn main() {\n    let counts: HashMap<String, u32> = HashMap::new();\n    let é = \"\U0001f600\"; let mut \n}\n"


def passed(what):
    print("PASS", what, flush=True)


def until(what, probe, patience_s=PATIENCE_S):
    """Waits for `probe` to give something true and returns that; ends the test otherwise."""
    end = time.time() + patience_s
    while time.time() < end:
        try:
            value = probe()
        except (FileNotFoundError, IndexError):
            value = None  # A file that an editor writes is missing or empty for a moment.
        if value:
            return value
        time.sleep(0.1)
    print("FAIL", what, flush=True)
    sys.exit(1)


class Terminal:
    """One program in a tmux server of its own."""

    def __init__(self, name, command, folder, out):
        self.tmux = ["tmux", "-L", name]
        self.out = pathlib.Path(out)
        size = ["-x", "100", "-y", "30"]
        subprocess.run(self.tmux + ["-f", "/dev/null", "new-session", "-d", *size, "-c", folder, *command], check=True)
        subprocess.run(self.tmux + ["set", "-g", "escape-time", "0"], check=True)

    def keys(self, *keys):
        """Presses keys by tmux's names, such as `Escape` or `C-x`."""
        subprocess.run(self.tmux + ["send-keys", *keys], check=True)

    def type(self, text):
        """Types a text, one key after the other."""
        for char in text:
            subprocess.run(self.tmux + ["send-keys", "-l", char], check=True)
            time.sleep(0.06)

    def screen(self, *options):
        return subprocess.run(self.tmux + ["capture-pane", "-p", *options], capture_output=True, text=True).stdout

    def picture(self, name):
        """Keeps the screen as text, and with its colours."""
        (self.out / f"{name}.txt").write_text(self.screen())
        (self.out / f"{name}.ansi").write_text(self.screen("-e"))

    def shows(self, text):
        """Waits until a text is on the screen."""
        try:
            until(f"{text!r} on the screen", lambda: text in self.screen())
        except SystemExit:
            self.picture("failure")
            print(self.screen())
            raise

    def offers(self, pattern, again, patience_s=10):
        """Waits until a text that fits a pattern is offered. Before the model is loaded nothing is: then the keys `again` ask anew."""
        asked = time.time()

        def offered():
            nonlocal asked
            if re.search(pattern, self.screen().rstrip()):
                return True
            if time.time() - asked > patience_s:
                asked = time.time()
                again()
            return False

        try:
            until(f"{pattern!r} is offered", offered)
        except SystemExit:
            self.picture("failure")
            print(self.screen())
            raise

    def close(self):
        subprocess.run(self.tmux + ["kill-server"], capture_output=True)
