// Shows what a change would do, as a difference of two texts, before it is made.
import * as vscode from "vscode";
import { type ApplyWorkspaceEditParams, type ApplyWorkspaceEditResult, type ResponseError, TextDocumentEdit, type TextEdit } from "vscode-languageclient/node";
import type { Pages } from "./pages";

/** The server says nothing about a change that the user did not want. */
const DISCARDED = "discarded by the user";

/** Milliseconds without a key or a moved caret after which nobody is taken to be typing. */
const AT_REST = 3000;

/** Milliseconds in which a choice is not taken: the key was meant for the text. */
const NOT_YET = 500;

type Applied = ApplyWorkspaceEditResult | ResponseError<void>;
type Apply = (params: ApplyWorkspaceEditParams) => Promise<Applied>;

/**
 * Asks before a change of an open file; a new file changes nothing that is there and opens by itself.
 * The editor's own preview of such edits has every line of them switched off, so that its button does nothing.
 */
export async function applyAfterPreview(params: ApplyWorkspaceEditParams, apply: Apply, pages: Pages): Promise<Applied> {
    const plain = withoutAnnotations(params);
    const changes = plain.edit.documentChanges ?? [];
    const [change] = changes;
    if (changes.length !== 1 || !TextDocumentEdit.is(change)) return apply(plain);

    const document = await vscode.workspace.openTextDocument(vscode.Uri.parse(change.textDocument.uri));
    const stale = { applied: false, failureReason: "the file was edited meanwhile" };
    const { version } = change.textDocument;
    if (version !== null && document.version !== version) return stale;
    const name = document.uri.path.split("/").at(-1) ?? "file";
    const proposed = pages.keep(name, changed(document, change.edits as TextEdit[]));
    const title = `${name}: ${params.label ?? "Carat"}`;
    const isWaitedFor = vscode.window.activeTextEditor?.document === document && isAtRest();
    if (!isWaitedFor && !(await isWanted(title))) return { applied: false, failureReason: DISCARDED };
    if (version !== null && document.version !== version) return stale;
    await vscode.commands.executeCommand("vscode.diff", document.uri, proposed, title, { preview: true });
    const isAccepted = await choose(title);
    await closeDifference(proposed);
    if (!isAccepted) return { applied: false, failureReason: DISCARDED };
    return document.version === (version ?? document.version) ? apply(plain) : stale;
}

/** When something was typed or a caret was moved last, anywhere, and when a code action was last begun. */
let lastTouched = 0;
let lastBegun = 0;

/** A code action begins: what is typed from now on is not meant for its outcome. */
export function begin(): void {
    lastBegun = Date.now();
}

/** Whether nobody is typing: a change that is ready after minutes must not take the keyboard. */
function isAtRest(): boolean {
    return lastTouched < lastBegun || Date.now() - lastTouched > AT_REST;
}

/** Keeps an eye on whether somebody is typing. */
export function watchTyping(): vscode.Disposable {
    const touch = () => (lastTouched = Date.now());
    return vscode.Disposable.from(
        vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => document.uri.scheme !== "output" && contentChanges.length > 0 && touch()),
        vscode.window.onDidChangeTextEditorSelection(touch),
    );
}

/** Says that a change is ready, beside whatever the user is doing; whether it is to be shown. */
async function isWanted(title: string): Promise<boolean> {
    const show = "Show";
    return (await vscode.window.showInformationMessage(`${title} is ready.`, show, "Discard")) === show;
}

/** Whether the user wants the change that is on the screen. */
function choose(title: string): Promise<boolean> {
    const yes = { label: "$(check) Apply", description: "written by a model: read it first" };
    const no = { label: "$(close) Discard" };
    const pick = vscode.window.createQuickPick();
    Object.assign(pick, { title, ignoreFocusOut: true, items: [yes, no] });
    const opened = Date.now();
    return new Promise((resolve) => {
        pick.onDidAccept(() => {
            if (Date.now() - opened < NOT_YET) return;
            resolve(pick.selectedItems[0] === yes);
            pick.dispose();
        });
        pick.onDidHide(() => {
            resolve(false);
            pick.dispose();
        });
        pick.show();
    });
}

/** The same edit as one that the editor applies without questions of its own. */
function withoutAnnotations(params: ApplyWorkspaceEditParams): ApplyWorkspaceEditParams {
    const plain: ApplyWorkspaceEditParams = structuredClone(params);
    delete plain.edit.changeAnnotations;
    for (const change of plain.edit.documentChanges ?? []) {
        const annotated: object[] = TextDocumentEdit.is(change) ? change.edits : [change];
        for (const edit of annotated as { annotationId?: string }[]) delete edit.annotationId;
    }
    return plain;
}

function changed(document: vscode.TextDocument, edits: TextEdit[]): string {
    const offset = (at: { line: number; character: number }) => document.offsetAt(new vscode.Position(at.line, at.character));
    const pieces = edits.map((edit) => ({ start: offset(edit.range.start), end: offset(edit.range.end), text: edit.newText }));
    // From the end, so that offsets stay what they are.
    pieces.sort((a, b) => b.start - a.start);
    return pieces.reduce((text, piece) => text.slice(0, piece.start) + piece.text + text.slice(piece.end), document.getText());
}

async function closeDifference(proposed: vscode.Uri): Promise<void> {
    const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs);
    const ours = tabs.filter((tab) => tab.input instanceof vscode.TabInputTextDiff && tab.input.modified.toString() === proposed.toString());
    await vscode.window.tabGroups.close(ours);
}
