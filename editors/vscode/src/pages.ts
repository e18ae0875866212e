// Read-only pages for what the server and the program print: reports, prompts, explanations.
import * as vscode from "vscode";

const SCHEME = "carat-page";

/** Pages that are kept; the editor asks again for one that is open. */
const PAGES_MAX = 32;

export class Pages implements vscode.TextDocumentContentProvider, vscode.Disposable {
    private readonly texts = new Map<string, string>();
    private readonly changed = new vscode.EventEmitter<vscode.Uri>();
    private readonly registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
    readonly onDidChange = this.changed.event;

    provideTextDocumentContent(uri: vscode.Uri): string {
        return this.texts.get(uri.path) ?? "This page is gone; run the command again.";
    }

    /** Shows Markdown as it is meant to look, beside the editor. */
    async showMarkdown(title: string, markdown: string): Promise<void> {
        const uri = this.keep(`${title.replace(/[^\p{L}\p{N} _.-]+/gu, " ").trim()}.md`, `# ${title}\n\n${markdown}\n`);
        await vscode.commands.executeCommand("markdown.showPreviewToSide", uri);
    }

    /** Shows a text beside the editor; the name's extension decides its language. */
    async show(name: string, text: string): Promise<void> {
        const document = await vscode.workspace.openTextDocument(this.keep(name, text));
        await vscode.window.showTextDocument(document, { viewColumn: vscode.ViewColumn.Beside, preview: true, preserveFocus: true });
    }

    /** Keeps a text as a page; its URI opens it. */
    keep(name: string, text: string): vscode.Uri {
        const uri = vscode.Uri.from({ scheme: SCHEME, path: `/${name}` });
        this.texts.delete(uri.path);
        this.texts.set(uri.path, text);
        for (const oldest of this.texts.keys()) {
            if (this.texts.size <= PAGES_MAX) break;
            this.texts.delete(oldest);
        }
        this.changed.fire(uri);
        return uri;
    }

    dispose(): void {
        this.registration.dispose();
        this.changed.dispose();
    }
}
