"""Drives the server with pygls. Started by `run`, which sets CARAT, SCRIPTED and CARAT_SCRIPT."""

import asyncio
import json
import logging
import os
import pathlib
import re
import sys
import tempfile
import typing

import attrs
from lsprotocol import types as t
from pygls.lsp.client import LanguageClient
from pygls.protocol import default_converter

PATIENCE_S = 30
# Signs of two, three and four bytes before the caret, which stands where a model is sure: what it is unsure of is not shown.
TEXT = "fn main() {\n    let x: HashMap<u8, u8> = HashMap::new();\n    let é = \"\U0001f600\"; let y: HashMap<u8, u8> = Hash\n}\n"
LINE = 2
URI = "file:///example/a.rs"
SETTINGS = {"explicitDeadlineMs": 20000, "menuDeadlineMs": 20000, "actions": [{"title": "Shout", "prompt": "Put every string into capitals."}]}

# Commands that are no code actions, with arguments.
COMMANDS = {"carat.lastPrompt": [], "carat.toggle": [], "carat.snooze": [1], "carat.setLanguage": ["rust", False], "carat.why": [], "carat.dismiss": []}

logging.basicConfig(level=logging.CRITICAL)
failures = []


def check(ok, what):
    print("PASS" if ok else "FAIL", what, flush=True)
    if not ok:
        failures.append(what)


async def within(awaitable):
    return await asyncio.wait_for(awaitable, PATIENCE_S)


def strict_converter():
    """lsprotocol takes every code action that has a command for a bare command; here the two are told apart."""
    converter = default_converter()
    def either(value, _):
        kind = t.Command if isinstance(value.get("command"), str) else t.CodeAction
        unknown = set(value) - {re.sub(r"_(.)", lambda m: m[1].upper(), field.name) for field in attrs.fields(kind)}
        assert not unknown, f"{kind.__name__} has no {unknown}"
        return converter.structure(value, kind)
    converter.register_structure_hook(typing.Union[t.Command, t.CodeAction], either)
    return converter


class Client(LanguageClient):
    """A client that keeps what the server says on its own accord."""

    def __init__(self):
        super().__init__("typed-client", "1", converter_factory=strict_converter)
        self.messages, self.statuses, self.problems = [], [], []
        self.progress_tokens, self.edits, self.documents = [], [], []
        self.progress_begun, self.progress_ended = set(), set()

        @self.feature(t.PROGRESS)
        def progress(params: t.ProgressParams):
            kind = params.value["kind"] if isinstance(params.value, dict) else params.value.kind
            if kind == "begin":
                self.progress_begun.add(params.token)
            elif kind == "end":
                self.progress_ended.add(params.token)

        @self.feature(t.WINDOW_SHOW_MESSAGE)
        def show_message(params: t.ShowMessageParams):
            self.messages.append(params)

        @self.feature(t.WINDOW_WORK_DONE_PROGRESS_CREATE)
        def create_progress(params: t.WorkDoneProgressCreateParams):
            self.progress_tokens.append(params.token)

        @self.feature(t.WORKSPACE_APPLY_EDIT)
        def apply_edit(params: t.ApplyWorkspaceEditParams):
            self.edits.append(params)
            return t.ApplyWorkspaceEditResult(applied=True)

        @self.feature(t.WINDOW_SHOW_DOCUMENT)
        def show_document(params: t.ShowDocumentParams):
            self.documents.append(params)
            return t.ShowDocumentResult(success=True)

        @self.feature(t.WORKSPACE_CONFIGURATION)
        def configuration(params: t.ConfigurationParams):
            return [SETTINGS if item.section == "carat" else None for item in params.items]

        @self.feature("carat/status")
        def status(params):
            self.statuses.append(params)

    def report_server_error(self, error, source):
        self.problems.append(repr(error))


def capabilities(inline):
    return t.ClientCapabilities(
        general=t.GeneralClientCapabilities(position_encodings=[t.PositionEncodingKind.Utf16]),
        experimental={"carat": {"status": True}},
        window=t.WindowClientCapabilities(work_done_progress=True, show_document=t.ShowDocumentClientCapabilities(support=True)),
        workspace=t.WorkspaceClientCapabilities(
            configuration=True, apply_edit=True,
            workspace_edit=t.WorkspaceEditClientCapabilities(document_changes=True),
        ),
        text_document=t.TextDocumentClientCapabilities(
            inline_completion=t.InlineCompletionClientCapabilities() if inline else None,
            code_action=t.CodeActionClientCapabilities(code_action_literal_support=t.ClientCodeActionLiteralOptions(
                code_action_kind=t.ClientCodeActionKindOptions(value_set=[""]))) if inline else None,
        ),
    )


async def started(inline, folder, scripted=False):
    """A client of the server with the embedded model, or with a script that takes instructions."""
    client = Client()
    if scripted:
        script = pathlib.Path(os.environ["CARAT_SCRIPT"]).read_text()
        await client.start_io(os.environ["SCRIPTED"], "lsp", env=dict(os.environ, CARAT_TEST_GENERATOR=script))
    else:
        await client.start_io(os.environ["CARAT"], "lsp")
    params = t.InitializeParams(
        capabilities=capabilities(inline), process_id=os.getpid(),
        workspace_folders=[t.WorkspaceFolder(uri=pathlib.Path(folder).as_uri(), name="x")],
    )
    result = await within(client.initialize_async(params))
    client.initialized(t.InitializedParams())
    client.text_document_did_open(t.DidOpenTextDocumentParams(t.TextDocumentItem(URI, "rust", 1, TEXT)))
    return client, result


async def stopped(client, what):
    await within(client.shutdown_async(None))
    client.exit(None)
    code = await within(client._server.wait())
    check(code == 0, f"{what}: exit code {code}")
    check(not client.problems, f"{what}: every message has its type {client.problems}")


async def until(what, probe):
    for _ in range(PATIENCE_S * 10):
        value = await probe()
        if value:
            return value
        await asyncio.sleep(0.1)
    check(False, what)
    return None


def caret():
    # é is one unit of UTF-16, the emoji two.
    line = TEXT.split("\n")[LINE]
    return t.Position(LINE, len(line.encode("utf-16-le")) // 2)


async def ghost_text(folder):
    client, result = await started(True, folder)
    server = result.capabilities
    check(server.position_encoding == t.PositionEncodingKind.Utf16, "utf-16 is agreed on")
    check(server.inline_completion_provider is not None and server.completion_provider is None, "ghost text, and no menu beside it")
    advertised = {field.name for field in attrs.fields(type(server)) if getattr(server, field.name) is not None}
    driven = {"position_encoding", "text_document_sync", "inline_completion_provider", "execute_command_provider",
              "code_action_provider", "workspace"}
    check(advertised <= driven, f"nothing is advertised that this test does not drive: {sorted(advertised - driven)}")

    async def ask():
        params = t.InlineCompletionParams(
            text_document=t.TextDocumentIdentifier(URI), position=caret(),
            context=t.InlineCompletionContext(trigger_kind=t.InlineCompletionTriggerKind.Invoked))
        answer = await within(client.text_document_inline_completion_async(params))
        return answer.items if isinstance(answer, t.InlineCompletionList) else answer

    items = await until("an inline completion", ask) or []
    check(len(items) > 0 and all(isinstance(item, t.InlineCompletionItem) for item in items), f"textDocument/inlineCompletion: {items[0].insert_text!r}")
    check(items[0].range == t.Range(caret(), caret()), f"its range is the caret: {items[0].range}")

    # An edit with every form of change, then another request.
    client.text_document_did_change(t.DidChangeTextDocumentParams(
        t.VersionedTextDocumentIdentifier(2, URI),
        [t.TextDocumentContentChangePartial(range=t.Range(t.Position(0, 0), t.Position(0, 0)), text="// \U0001f600\n")]))
    client.text_document_did_save(t.DidSaveTextDocumentParams(t.TextDocumentIdentifier(URI)))
    client.workspace_did_change_configuration(t.DidChangeConfigurationParams(settings=None))
    client.workspace_did_change_workspace_folders(t.DidChangeWorkspaceFoldersParams(t.WorkspaceFoldersChangeEvent(added=[], removed=[])))

    place = {"textDocument": {"uri": URI}, "position": {"line": LINE + 1, "character": 4}}
    for command, arguments in [*COMMANDS.items(), ("carat.why", [place]), ("carat.snooze", [0]), ("carat.setLanguage", ["rust", True])]:
        answer = await within(client.workspace_execute_command_async(t.ExecuteCommandParams(command, arguments)))
        check(answer is not None or command == "carat.dismiss", f"workspace/executeCommand {command} {json.dumps(arguments)}")
        await asyncio.sleep(0.5)  # states that pass at once are not told
    await within(client.workspace_execute_command_async(t.ExecuteCommandParams("carat.toggle", [])))
    check(not client.messages, f"no message was needed: {client.messages}")
    place = t.Range(t.Position(1, 0), t.Position(LINE + 2, 1))
    params = t.CodeActionParams(t.TextDocumentIdentifier(URI), place, t.CodeActionContext(diagnostics=[]))
    check(not await within(client.text_document_code_action_async(params)), "a model that takes no instructions offers no code actions")

    statuses = [status.state for status in client.statuses]
    check("ready" in statuses and "paused" in statuses, f"carat/status: {statuses}")
    client.text_document_did_close(t.DidCloseTextDocumentParams(t.TextDocumentIdentifier(URI)))
    await stopped(client, "ghost text")


async def code_actions(folder):
    """Every action runs, from the menu and by its command."""
    client, result = await started(True, folder, scripted=True)
    server = result.capabilities

    async def ready():
        return any(status.state == "ready" for status in client.statuses)

    await until("the model is there", ready)
    client.text_document_did_change(t.DidChangeTextDocumentParams(
        t.VersionedTextDocumentIdentifier(2, URI),
        [t.TextDocumentContentChangePartial(range=t.Range(t.Position(0, 0), t.Position(0, 0)), text="// \U0001f600\n")]))
    diagnostic = t.Diagnostic(t.Range(t.Position(LINE + 1, 8), t.Position(LINE + 1, 9)), "unused variable: `é`", severity=t.DiagnosticSeverity.Warning)
    place = t.Range(t.Position(1, 0), t.Position(LINE + 2, 1))
    params = t.CodeActionParams(t.TextDocumentIdentifier(URI), place, t.CodeActionContext(diagnostics=[diagnostic]))
    actions = await within(client.text_document_code_action_async(params)) or []
    check(actions and all(isinstance(action, t.CodeAction) for action in actions), f"textDocument/codeAction: {[action.title for action in actions]}")
    kinds = {str(getattr(kind, "value", kind)) for kind in server.code_action_provider.code_action_kinds}
    within_kinds = lambda kind: any(kind == one or kind.startswith(one + ".") for one in kinds)
    check(all(within_kinds(str(getattr(action.kind, "value", action.kind))) for action in actions), f"of the kinds that are announced: {sorted(kinds)}")
    check(all(action.edit is None and action.command is not None for action in actions), "each has a command and no edit")
    # Bare commands for a client without literals are tried in the menu of `menu`.
    commands = {action.command.command: action.command for action in actions}
    announced = {command for command in server.execute_command_provider.commands if command not in COMMANDS and not command.startswith("carat.testing.")}
    check(set(commands) == announced, f"the menu has every action that is announced: {sorted(announced)}")
    for name in sorted(announced):
        seen = len(client.messages) + len(client.edits) + len(client.documents)
        command = commands[name]
        answer = await within(client.workspace_execute_command_async(t.ExecuteCommandParams(name, command.arguments)))
        check(answer is None, f"workspace/executeCommand {name}: answered at once")

        async def outcome():
            return len(client.messages) + len(client.edits) + len(client.documents) > seen

        if await until(f"{name}: an outcome", outcome):
            said = client.messages[-1].message if client.messages else "an edit or a page"
            check(True, f"{name} ends in: {said[:100]}")

    async def progress_over():
        return client.progress_begun and client.progress_begun == client.progress_ended

    await until("every progress that began has ended", progress_over)
    check(client.progress_begun <= set(client.progress_tokens), f"progress: {len(client.progress_begun)} begun, allowed and ended")
    for wrong, arguments in (("carat.nothing", []), ("carat.explain", []), ("carat.explain", [{"uri": 1}])):
        try:
            await within(client.workspace_execute_command_async(t.ExecuteCommandParams(wrong, arguments)))
            check(False, f"{wrong} with {arguments} is an error")
        except Exception as error:
            check(bool(str(error)), f"{wrong} with {json.dumps(arguments)} is an error: {error}")
    await stopped(client, "code actions")

    client, _ = await started(False, folder, scripted=True)

    async def bare():
        place = t.Range(t.Position(LINE, 4), t.Position(LINE, 4))
        params = t.CodeActionParams(t.TextDocumentIdentifier(URI), place, t.CodeActionContext(diagnostics=[]))
        return await within(client.text_document_code_action_async(params))

    commands = await until("commands", bare) or []
    check(commands and all(isinstance(command, t.Command) for command in commands), f"bare commands without literals: {[command.command for command in commands]}")
    await stopped(client, "bare commands")


async def menu(folder):
    client, result = await started(False, folder)
    server = result.capabilities
    check(server.inline_completion_provider is None and server.completion_provider is not None, "a menu, and no ghost text beside it")

    async def ask():
        params = t.CompletionParams(t.TextDocumentIdentifier(URI), caret(), context=t.CompletionContext(t.CompletionTriggerKind.Invoked))
        answer = await within(client.text_document_completion_async(params))
        return answer.items if isinstance(answer, t.CompletionList) else answer

    items = await until("a completion item", ask) or []
    item = items[0]
    check(isinstance(item.text_edit, t.TextEdit) and item.text_edit.range.end == caret(), f"textDocument/completion: {item.label!r}")
    check(item.insert_text_mode == t.InsertTextMode.AsIs, "its text is inserted as it is")
    await stopped(client, "menu")


async def main():
    with tempfile.TemporaryDirectory() as folder:
        await ghost_text(folder)
        await menu(folder)
        await code_actions(folder)


asyncio.run(main())
print(f"{len(failures)} failed" if failures else "all passed")
sys.exit(1 if failures else 0)
