// Starts the language server and connects its status, settings and commands with the editor.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import * as vscode from "vscode";
import { LanguageClient, type LanguageClientOptions, State, type StaticFeature } from "vscode-languageclient/node";
import { EXPLAIN, REFACTOR, completeArguments, runAction } from "./actions";
import { type AskAgain, again, askAgain } from "./again";
import { BinaryMissing, type Binary, findBinary } from "./binary";
import { dismiss, showMenu, snooze, switchLanguage, why } from "./manners";
import { chooseModel } from "./models";
import { Pages } from "./pages";
import { applyAfterPreview, begin, watchTyping } from "./preview";
import { serverSettings } from "./settings";
import { StatusBar, type Status } from "./status";

/** The parameters of `carat/explanation`. */
interface Explanation {
    title: string;
    markdown: string;
}

/** Settings that the server reads when it starts. */
const AT_START = ["carat.server", "carat.model", "carat.models", "carat.threads", "carat.kvCache", "carat.unloadMinutes"];

const STOPPED = "The language server has stopped; “Carat: Restart Language Server” starts it again, the output channel “Carat” has its last words.";

let client: LanguageClient | undefined;
let binary: Binary | undefined;
/** Starts and stops follow each other: two servers at once would register the same commands. */
let turn: Promise<void> = Promise.resolve();

export function activate(context: vscode.ExtensionContext): void {
    const log = vscode.window.createOutputChannel("Carat", { log: true });
    const bar = new StatusBar();
    const pages = new Pages();
    context.subscriptions.push(log, bar, pages, watchTyping());

    const restart = () => (turn = turn.then(() => stop()).then(() => start(context, log, bar, pages)));
    const command = <A extends unknown[]>(id: string, run: (...given: A) => unknown) => {
        const told = async (...given: A) => {
            try {
                await run(...given);
            } catch (error) {
                void vscode.window.showErrorMessage(`Carat: ${error instanceof Error ? error.message : error}`);
            }
        };
        context.subscriptions.push(vscode.commands.registerCommand(id, told));
    };
    command("carat.pauseOrResume", () => server().sendRequest("workspace/executeCommand", { command: "carat.toggle" }));
    command("carat.explainSelection", () => runAction(EXPLAIN, bar.status, server));
    command("carat.refactorSelection", () => runAction(REFACTOR, bar.status, server));
    command("carat.snoozeFor", (minutes?: number) => snooze(server(), minutes));
    command("carat.whyHere", () => why(server()));
    command("carat.switchLanguage", switchLanguage);
    command("carat.dismissHere", () => dismiss(client));
    command("carat.chooseModel", async () => {
        const isSettled = await chooseModel((binary ??= await findBinary(context)).path);
        if (isSettled) await restart();
    });
    command("carat.showLastPrompt", () => showLastPrompt(pages));
    command("carat.doctor", async () => {
        const program = (binary ??= await findBinary(context)).path;
        const configuration = vscode.workspace.getConfiguration("carat");
        const model = configuration.get<Record<string, string>>("models")?.rest ?? configuration.get<string>("model");
        const { stdout } = await promisify(execFile)(program, ["doctor", ...(model ? ["--model", model] : [])]);
        await pages.show("carat doctor.txt", stdout);
    });
    command("carat.restart", restart);
    command("carat.menu", () => showMenu(bar.status, log));

    context.subscriptions.push(
        vscode.workspace.onDidChangeConfiguration((event) => {
            if (AT_START.some((name) => event.affectsConfiguration(name))) {
                void restart();
            } else if (event.affectsConfiguration("carat")) {
                void client?.sendNotification("workspace/didChangeConfiguration", { settings: { carat: serverSettings() } });
            }
        }),
    );
    void restart();
}

export function deactivate(): Promise<void> {
    return turn.then(() => stop());
}

async function start(context: vscode.ExtensionContext, log: vscode.LogOutputChannel, bar: StatusBar, pages: Pages): Promise<void> {
    bar.show({ state: "loading" });
    try {
        binary = await findBinary(context);
        log.info(`${binary.version} at ${binary.path}`);
        const started = new LanguageClient("carat", "Carat", { command: binary.path, args: ["lsp"] }, options(log, bar, pages));
        client = started;
        client.onDidChangeState((change) => {
            // One that was stopped on purpose is not the client any more.
            if (change.newState === State.Stopped && client === started) bar.show({ state: "error", message: STOPPED });
        });
        client.registerFeature(extensionsFeature());
        client.onNotification("carat/status", (status: Status) => {
            bar.show(status);
            // Context menus have Explain and Refactor only where there is a model for them.
            void vscode.commands.executeCommand("setContext", "carat.takesInstructions", status.takesInstructions !== false);
        });
        client.onNotification("carat/explanation", (explanation: Explanation) => pages.showMarkdown(explanation.title, explanation.markdown));
        client.onNotification("carat/askAgain", (better: AskAgain) => askAgain(better));
        await client.start();
    } catch (error) {
        client = undefined;
        const what = error instanceof Error ? error.message : String(error);
        log.error(what);
        bar.show({ state: "error", message: what });
        const choices = error instanceof BinaryMissing ? ["Open Settings"] : ["Show Log"];
        // Not awaited: the message stays until the user has read it.
        void vscode.window.showErrorMessage(`Carat: ${what}`, ...choices).then((choice) => {
            if (choice === "Open Settings") void vscode.commands.executeCommand("workbench.action.openSettings", "carat.server.path");
            if (choice === "Show Log") log.show();
        });
    }
}

async function stop(): Promise<void> {
    const running = client;
    client = undefined;
    try {
        await running?.dispose();
    } catch {
        // A server that has died already has stopped.
    }
}

function options(log: vscode.LogOutputChannel, bar: StatusBar, pages: Pages): LanguageClientOptions {
    return {
        documentSelector: [{ scheme: "file" }, { scheme: "untitled" }, { scheme: "vscode-notebook-cell" }],
        // What is read once, when the server starts. The others it asks for: given here, they would stay when they are removed.
        initializationOptions: serverSettings(AT_START),
        outputChannel: log,
        synchronize: { fileEvents: vscode.workspace.createFileSystemWatcher("**/.carat.toml") },
        middleware: {
            ...again,
            executeCommand: async (command, given, next) => {
                const complete = await completeArguments(command, given, bar.status);
                begin();
                return complete && next(command, complete);
            },
            workspace: {
                // The server's part without this extension's own settings.
                configuration: () => [serverSettings()],
                handleApplyEdit: (params, next) => applyAfterPreview(params, async (edit) => next(edit, new vscode.CancellationTokenSource().token), pages),
            },
        },
    };
}

/** Tells the server which extensions of the protocol are understood. */
function extensionsFeature(): StaticFeature {
    return {
        fillClientCapabilities: (capabilities) => {
            capabilities.experimental = { ...capabilities.experimental, carat: { status: true, explanation: true, askAgain: true } };
        },
        initialize: () => undefined,
        getState: () => ({ kind: "static" }),
        clear: () => undefined,
    };
}

function server(): LanguageClient {
    if (!client?.isRunning()) throw new Error("the language server does not run; see the output channel “Carat”");
    return client;
}

async function showLastPrompt(pages: Pages): Promise<void> {
    const record: any = await server().sendRequest("workspace/executeCommand", { command: "carat.lastPrompt" });
    if (!record) {
        void vscode.window.showInformationMessage("Carat: nothing has been completed yet.");
        return;
    }
    const part = (title: string, text: string) => `--- ${title}\n${text || "(nothing)"}\n`;
    const head = `${record.uri}\nmodel ${record.model}, tier ${record.tier}, ${Math.round(record.ms)} ms\n`;
    await pages.show("carat last prompt.txt", head + part("prompt", record.prompt) + part("completion", record.completion));
}
