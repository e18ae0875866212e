// Being left alone: the status menu, snoozing, switching a language off, why nothing comes, what is not wanted.
import * as vscode from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import type { Status } from "./status";

/** Minutes to choose from. */
const MINUTES = [5, 15, 60];

function execute<R>(server: LanguageClient, command: string, ...given: unknown[]): Promise<R> {
    return server.sendRequest<R>("workspace/executeCommand", { command, arguments: given });
}

/** The menu behind the status bar entry. */
export async function showMenu(status: Status, log: vscode.LogOutputChannel): Promise<void> {
    const language = vscode.window.activeTextEditor?.document.languageId;
    const here = language === undefined ? [] : [
        { label: "Why nothing here?", description: status.quiet ?? "", command: "carat.whyHere" },
        { label: `${isOn(language) ? "Off" : "On"} for ${language}`, command: "carat.switchLanguage" },
    ];
    const pause = status.state === "paused"
        ? [{ label: "Resume completion", command: "carat.pauseOrResume" }]
        : [{ label: "Snooze…", command: "carat.snoozeFor" }, { label: "Pause completion", command: "carat.pauseOrResume" }];
    const entries = [
        ...here,
        ...pause,
        { label: "Choose model…", command: "carat.chooseModel" },
        { label: "Show last prompt", command: "carat.showLastPrompt" },
        { label: "Doctor", command: "carat.doctor" },
        { label: "Restart language server", command: "carat.restart" },
        { label: "Show log", command: "" },
    ];
    const entry = await vscode.window.showQuickPick(entries, { title: "Carat" });
    if (!entry) return;
    if (entry.command) await vscode.commands.executeCommand(entry.command);
    else log.show();
}

/** Pauses completion for some minutes. */
export async function snooze(server: LanguageClient, minutes?: number): Promise<void> {
    const choices = MINUTES.map((minutes) => ({ label: `${minutes} minutes`, minutes }));
    const chosen = minutes ?? (await vscode.window.showQuickPick(choices, { title: "Carat: snooze" }))?.minutes;
    if (chosen !== undefined) await execute(server, "carat.snooze", chosen);
}

/** Says in a sentence what decides at the caret. */
export async function why(server: LanguageClient): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    if (!editor) return;
    const place = {
        textDocument: server.code2ProtocolConverter.asTextDocumentIdentifier(editor.document),
        position: server.code2ProtocolConverter.asPosition(editor.selection.active),
    };
    const record = await execute<{ why?: string } | null>(server, "carat.why", place);
    void vscode.window.showInformationMessage(`Carat: ${record?.why ?? "this document is not known to the language server."}`);
}

/** Switches completion off for the language of the editor, or on again, in the user's settings. */
export async function switchLanguage(): Promise<void> {
    const language = vscode.window.activeTextEditor?.document.languageId;
    if (language === undefined) return;
    const configuration = vscode.workspace.getConfiguration("carat");
    const own = configuration.inspect<Record<string, boolean>>("languages")?.globalValue;
    await configuration.update("languages", { ...own, [language]: !isOn(language) }, vscode.ConfigurationTarget.Global);
}

/** Takes the ghost text away, whoever shows it, and lets the server, if it runs, know that it is not wanted here. */
export async function dismiss(server: LanguageClient | undefined): Promise<void> {
    await vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
    if (server?.isRunning()) await execute(server, "carat.dismiss");
}

function isOn(language: string): boolean {
    const languages = vscode.workspace.getConfiguration("carat").get<Record<string, boolean>>("languages") ?? {};
    return languages[language] ?? languages["*"] ?? true;
}
