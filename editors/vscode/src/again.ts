// Asks for ghost text again where the server has a better line by now, as typing does.
import * as vscode from "vscode";
import type { Middleware } from "vscode-languageclient/node";

/** The parameters of `carat/askAgain`. */
export interface AskAgain {
    uri: string;
    version: number;
}

/** Whether the next request is one of these: the editor takes it for one by hand, which asks for more. */
let isAgain = false;
/** Where the editor asked last: it asks nothing when the caret only moves. */
let asked: vscode.Position | undefined;

/** Asks, unless something was typed since or the caret is elsewhere. */
export async function askAgain(better: AskAgain): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    const document = editor?.document;
    if (document?.version !== better.version || document.uri.toString() !== vscode.Uri.parse(better.uri).toString()) return;
    if (!asked || !editor?.selection.isEmpty || !editor.selection.active.isEqual(asked)) return;
    isAgain = true;
    try {
        // What is shown would stay: the editor keeps it in front of what it gets when it is told to ask.
        await vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
        await vscode.commands.executeCommand("editor.action.inlineSuggest.trigger");
    } finally {
        isAgain = false;
    }
}

export const again: Pick<Middleware, "provideInlineCompletionItems"> = {
    provideInlineCompletionItems: (document, position, context, token, next) => {
        const automatic = { ...context, triggerKind: vscode.InlineCompletionTriggerKind.Automatic };
        const given = isAgain ? automatic : context;
        isAgain = false;
        asked = position;
        return next(document, position, given, token);
    },
};
