// Chooses a model: asks the program what there is, lets it download, and writes the setting.
import { execFile, spawn } from "node:child_process";
import { promisify } from "node:util";
import * as vscode from "vscode";

/** What `carat model list --json` says of a model. The embedded one has no state. */
interface Listed {
    name: string;
    title?: string;
    /** `pulled`, `partial` or `absent`. */
    state?: string;
    /** The embedded model's size. */
    file_bytes?: number | null;
    /** The size of a file to pull, as far as it is known. */
    size_bytes?: number | null;
    /** Whether this machine has the memory for it. */
    fits?: boolean | null;
}

interface Choice extends vscode.QuickPickItem {
    model?: Listed;
}

/** The parts in `carat.models` that `carat.model` stands in for. */
const PARTS = ["rest", "actions"];

/** Lets the user choose the large model. True if the server has to be started again for it although no setting changed. */
export async function chooseModel(program: string): Promise<boolean> {
    const { stdout } = await promisify(execFile)(program, ["model", "list", "--json"]);
    const listed: Listed[] = JSON.parse(stdout).models ?? [];
    const configuration = vscode.workspace.getConfiguration("carat");
    const current = configuration.get<string>("model") || "default";
    const models = configuration.get<Record<string, string>>("models") ?? {};
    const inUse = new Set([...(PARTS.every((part) => models[part]) ? [] : [current]), ...Object.values(models)]);
    const choices: Choice[] = listed.map((model) => ({
        model,
        label: model.name,
        description: [size(model.file_bytes ?? model.size_bytes), hint(model), inUse.has(model.name) ? "in use" : ""].filter(Boolean).join(", "),
        detail: model.title ?? "In the program itself; small and quick",
    }));
    choices.push({ label: "Choose a GGUF file…" });
    const choice = await vscode.window.showQuickPick(choices, { title: "Model for rests and code actions", matchOnDescription: true });
    if (!choice) return false;
    const name = choice.model ? choice.model.name : await chooseFile();
    if (name === undefined) return false;
    if (choice.model && toPull(choice.model) && !(await pull(program, name))) return false;
    const named = PARTS.filter((part) => models[part] && models[part] !== name);
    if (named.length > 0) {
        const list = named.map((part) => `“${part}”: ${models[part]}`).join(", ");
        void vscode.window.showWarningMessage(`Carat: the setting carat.models goes before the choice of ${name} (${list}).`);
    }
    // The change of the setting starts the server again.
    if (name !== current) await configuration.update("model", name === "default" ? undefined : name, vscode.ConfigurationTarget.Global);
    return name === current;
}

function toPull(model: Listed): boolean {
    return model.state !== undefined && model.state !== "pulled";
}

function hint(model: Listed): string {
    if (model.fits === false) return "too large for this machine";
    return toPull(model) ? "to download" : "";
}

async function chooseFile(): Promise<string | undefined> {
    const files = await vscode.window.showOpenDialog({ title: "GGUF file", filters: { "GGUF models": ["gguf"] } });
    return files?.[0]?.fsPath;
}

/** Downloads a model with the program, which verifies it. True if it is there afterwards. */
function pull(program: string, name: string): Thenable<boolean> {
    const options = { location: vscode.ProgressLocation.Notification, title: `Carat downloads ${name}`, cancellable: true };
    return vscode.window.withProgress(options, (progress, cancelled) => {
        return new Promise<boolean>((resolve) => {
            const child = spawn(program, ["model", "pull", name], { stdio: ["ignore", "ignore", "pipe"] });
            let last = "";
            let done = 0;
            cancelled.onCancellationRequested(() => child.kill());
            child.stderr.setEncoding("utf8").on("data", (text: string) => {
                last = text.split(/[\r\n]+/).filter((line) => line.trim()).at(-1)?.trim() ?? last;
                const percent = Number(/(\d+(?:\.\d+)?) ?%/.exec(last)?.[1] ?? NaN);
                const increment = percent > done ? percent - done : 0;
                done += increment;
                progress.report({ message: last.replace(`${name}: `, "").replace(/[^\x20-\x7e]+/g, " ").slice(0, 80), increment });
            });
            child.on("error", (error) => finish(`it does not start: ${error.message}`));
            child.on("close", (code) => finish(code === 0 ? undefined : last));
            function finish(problem: string | undefined): void {
                if (problem !== undefined && !cancelled.isCancellationRequested) {
                    void vscode.window.showErrorMessage(`Carat could not download ${name}: ${problem}`);
                }
                resolve(problem === undefined);
            }
        });
    });
}

function size(bytes: number | null | undefined): string {
    if (!bytes) return "";
    return bytes > 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`;
}
