// The status bar entry: what the server says of itself in `carat/status`.
import * as vscode from "vscode";

export interface Status {
    state: "loading" | "ready" | "busy" | "paused" | "error";
    model?: string | null;
    /** What each of the models is doing. */
    models?: { name: string; roles: string[]; state: string }[];
    takesInstructions?: boolean | null;
    memoryBytes?: number | null;
    tokensPerSecond?: number | null;
    message?: string | null;
    /** Why there is nothing anywhere in the document that was asked about last. */
    quiet?: string | null;
    /** In a pause that ends by itself: after so many seconds, as of this message. */
    resumesInSeconds?: number | null;
}

const ICONS: Record<Status["state"], string> = {
    loading: "$(loading~spin)",
    ready: "$(sparkle)",
    busy: "$(sync~spin)",
    paused: "$(debug-pause)",
    error: "$(warning)",
};

export class StatusBar implements vscode.Disposable {
    private readonly item = vscode.window.createStatusBarItem("carat.status", vscode.StatusBarAlignment.Right, 100);
    private last: Status = { state: "loading" };

    constructor() {
        this.item.name = "Carat";
        this.item.command = "carat.menu";
        this.show({ state: "loading" });
        this.item.show();
    }

    get status(): Status {
        return this.last;
    }

    show(status: Status): void {
        this.last = status;
        const models = modelNames(status);
        const name = models ? `Carat: ${models}` : "Carat";
        const isQuiet = status.quiet && (status.state === "ready" || status.state === "busy");
        this.item.text = `${isQuiet ? "$(mute)" : (ICONS[status.state] ?? ICONS.ready)} ${name}`;
        this.item.tooltip = tooltip(status);
        this.item.accessibilityInformation = { label: `${name}, ${status.state}` };
        const color = status.state === "error" ? "statusBarItem.warningBackground" : undefined;
        this.item.backgroundColor = color ? new vscode.ThemeColor(color) : undefined;
    }

    dispose(): void {
        this.item.dispose();
    }
}

/** The models at work, the one that was chosen before the one that answers at every key. */
function modelNames(status: Status): string {
    const several = [...(status.models ?? [])].reverse().map((model) => model.name.split(/[\\/]/).at(-1));
    return several.length > 1 ? several.join(", ") : (status.model ?? "");
}

function tooltip(status: Status): string {
    const lines = [`Carat is ${status.state}.`];
    if (status.message) lines.push(status.message);
    if (status.models && status.models.length > 1) {
        for (const model of status.models) lines.push(`${model.name} (${model.roles.join(", ")}): ${model.state === "onBattery" ? "rests on battery" : model.state}.`);
    }
    if (status.quiet) lines.push(`Quiet here: ${status.quiet}.`);
    if (status.resumesInSeconds) lines.push(`Resumes by itself after ${Math.ceil(status.resumesInSeconds / 60)} min.`);
    if (status.model) lines.push(`Model: ${status.model}`);
    if (status.memoryBytes) lines.push(`Memory: ${Math.round(status.memoryBytes / 1048576)} MiB`);
    if (status.tokensPerSecond) lines.push(`Speed: ${status.tokensPerSecond} tokens a second`);
    return lines.join("\n");
}
