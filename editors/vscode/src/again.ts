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

/** Asks, unless something was typed since. */
export async function askAgain(better: AskAgain): Promise<void> {
    const document = vscode.window.activeTextEditor?.document;
    if (document?.version !== better.version || document.uri.toString() !== vscode.Uri.parse(better.uri).toString()) return;
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
        const asked = isAgain ? automatic : context;
        isAgain = false;
        return next(document, position, asked, token);
    },
};
