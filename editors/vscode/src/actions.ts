// Explain and Refactor from the palette: the server's own code actions, and what they have to ask first.
import * as vscode from "vscode";
import type { Status } from "./status";

/** Commands of the server that its code actions carry. */
export const EXPLAIN = "carat.explain";
export const REFACTOR = "carat.refactor";

/** Runs the code action of the selection whose command is `id`. */
export async function runAction(id: string): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    if (!editor) return;
    const found = await vscode.commands.executeCommand<(vscode.CodeAction | vscode.Command)[]>(
        "vscode.executeCodeActionProvider",
        editor.document.uri,
        editor.selection,
    );
    const commands = (found ?? []).map((entry) => (typeof entry.command === "string" ? (entry as vscode.Command) : entry.command));
    const command = commands.find((command) => command?.command === id);
    if (!command) {
        void vscode.window.showInformationMessage("Carat has no such action here: put the caret into a function, or select code.");
        return;
    }
    await vscode.commands.executeCommand(command.command, ...(command.arguments ?? []));
}

/**
 * The arguments with which a command goes to the server, or nothing if the user changed their mind.
 * Refactoring without an instruction asks for one, unless the model takes none: the server says what would help.
 */
export async function completeArguments(command: string, given: unknown[], { takesInstructions }: Status): Promise<unknown[] | undefined> {
    const first = given[0];
    if (command !== REFACTOR || takesInstructions === false || typeof first !== "object" || first === null || "instruction" in first) return given;
    const instruction = await vscode.window.showInputBox({
        title: "Carat: refactor",
        prompt: "What is to change?",
        placeHolder: "for example: return an error instead of panicking",
    });
    if (!instruction?.trim()) return undefined;
    return [{ ...first, instruction: instruction.trim() }, ...given.slice(1)];
}
