"""Drives the server with pygls. Started by `run`, which sets CARAT."""

import asyncio
import logging
import os
import pathlib
import sys
import tempfile

import attrs
from lsprotocol import types as t
from pygls.lsp.client import LanguageClient

PATIENCE_S = 30
TEXT = "fn main() {\n    let é = \"\U0001f600\"; let x = \n}\n"
URI = "file:///example/a.rs"

logging.basicConfig(level=logging.CRITICAL)
failures = []


def check(ok, what):
    print("PASS" if ok else "FAIL", what, flush=True)
    if not ok:
        failures.append(what)


async def within(awaitable):
    return await asyncio.wait_for(awaitable, PATIENCE_S)


class Client(LanguageClient):
    """A client that keeps what the server says on its own accord."""

    def __init__(self):
        super().__init__("typed-client", "1")
        self.messages, self.statuses, self.problems = [], [], []
        self.progress_tokens, self.edits, self.documents = [], [], []

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
            return [{"explicitDeadlineMs": 20000} if item.section == "carat" else None for item in params.items]

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
                code_action_kind=t.ClientCodeActionKindOptions(value_set=[""]))),
        ),
    )


async def started(inline, folder):
    client = Client()
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
    line = TEXT.split("\n")[1]
    return t.Position(1, len(line.encode("utf-16-le")) // 2)


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

    for command in server.execute_command_provider.commands:
        arguments = []
        if command in ("carat.lastPrompt", "carat.toggle"):
            answer = await within(client.workspace_execute_command_async(t.ExecuteCommandParams(command, arguments)))
            check(answer is not None, f"workspace/executeCommand {command}")
            await asyncio.sleep(0.5)  # states that pass at once are not told
    await within(client.workspace_execute_command_async(t.ExecuteCommandParams("carat.toggle", [])))
    if server.code_action_provider:
        await code_actions(client)

    statuses = [status.state for status in client.statuses]
    check("ready" in statuses and "paused" in statuses, f"carat/status: {statuses}")
    check(not client.messages, f"no message was needed: {client.messages}")
    client.text_document_did_close(t.DidCloseTextDocumentParams(t.TextDocumentIdentifier(URI)))
    await stopped(client, "ghost text")


async def code_actions(client):
    """Every action runs; without a model that follows instructions, its honest end is a message."""
    params = t.CodeActionParams(
        t.TextDocumentIdentifier(URI), t.Range(t.Position(1, 0), t.Position(2, 4)), t.CodeActionContext(diagnostics=[]))
    actions = await within(client.text_document_code_action_async(params)) or []
    check(len(actions) > 0, f"textDocument/codeAction: {[action.title for action in actions]}")
    for action in actions:
        command = action if isinstance(action, t.Command) else action.command
        check(command is not None, f"{action.title}: has a command")
        try:
            await within(client.workspace_execute_command_async(t.ExecuteCommandParams(command.command, command.arguments)))
            check(True, f"workspace/executeCommand {command.command}")
        except Exception as error:  # an error of the protocol with a reason is an answer too
            check(bool(str(error)), f"workspace/executeCommand {command.command}: {error}")
    await asyncio.sleep(1)
    client.messages.clear()


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


asyncio.run(main())
print(f"{len(failures)} failed" if failures else "all passed")
sys.exit(1 if failures else 0)
