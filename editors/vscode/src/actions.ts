// Explain, Refactor and the other code actions of the server: from the palette, and what has to be asked first.
import * as vscode from "vscode";
import type { CodeAction, Command, LanguageClient } from "vscode-languageclient/node";
import type { Status } from "./status";

/** Commands of the server that its code actions carry. */
export const EXPLAIN = "carat.explain";
export const REFACTOR = "carat.refactor";
const ACTIONS = new Set([EXPLAIN, REFACTOR, "carat.document", "carat.writeTests", "carat.fix", "carat.custom"]);

/**
 * Runs the code action of the selection whose command is `id`.
 * The server is asked directly: the editor's own menu comes back empty if a key is typed meanwhile.
 */
export async function runAction(id: string, status: Status, client: () => LanguageClient): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    if (!editor) return;
    // The menu has no entries then.
    if (status.takesInstructions === false) return offerModel();
    const server = client();
    const { code2ProtocolConverter } = server;
    const found = await server.sendRequest<(CodeAction | Command)[] | null>("textDocument/codeAction", {
        textDocument: code2ProtocolConverter.asTextDocumentIdentifier(editor.document),
        range: code2ProtocolConverter.asRange(editor.selection),
        context: { diagnostics: [] },
    });
    const commands = (found ?? []).map((entry) => (typeof entry.command === "string" ? (entry as Command) : entry.command));
    const command = commands.find((command) => command?.command === id);
    if (!command) {
        void vscode.window.showInformationMessage("Carat has no such action here: put the caret into a function, or select code.");
        return;
    }
    await vscode.commands.executeCommand(command.command, ...(command.arguments ?? []));
}

/**
 * The arguments with which a command goes to the server, or nothing if the user changed their mind.
 * Refactoring without an instruction asks for one. Where the model takes none, a model is offered instead.
 */
export async function completeArguments(command: string, given: unknown[], { takesInstructions }: Status): Promise<unknown[] | undefined> {
    if (ACTIONS.has(command) && takesInstructions === false) {
        offerModel();
        return undefined;
    }
    const first = given[0];
    if (command !== REFACTOR || typeof first !== "object" || first === null || "instruction" in first) return given;
    const instruction = await vscode.window.showInputBox({
        title: "Carat: refactor",
        prompt: "What is to change?",
        placeHolder: "for example: return an error instead of panicking",
    });
    if (!instruction?.trim()) return undefined;
    return [{ ...first, instruction: instruction.trim() }, ...given.slice(1)];
}

/** Says what is missing. Not awaited: the message stays until the user has read it. */
function offerModel(): void {
    const choose = "Choose Model…";
    void vscode.window.showWarningMessage("Carat: this needs a model that takes instructions.", choose).then((choice) => {
        if (choice === choose) void vscode.commands.executeCommand("carat.chooseModel");
    });
}
