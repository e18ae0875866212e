// From the editor's settings to those of the server: what the user has set, and nothing else.
import * as vscode from "vscode";

/** Settings of this extension; the server does not know them. */
const OWN = ["server", "trace"];

/** The server's settings that differ from their defaults, or those of them that are `wanted`; the server has the defaults itself. */
export function serverSettings(wanted?: string[]): Record<string, unknown> {
    const configuration = vscode.workspace.getConfiguration("carat");
    const settings: Record<string, unknown> = {};
    for (const name of names()) {
        if (wanted && !wanted.includes(`carat.${name}`)) continue;
        const found = configuration.inspect(name);
        if (found?.globalValue !== undefined || found?.workspaceValue !== undefined || found?.workspaceFolderValue !== undefined) {
            // Values of several scopes are merged by the editor.
            settings[name] = configuration.get(name);
        }
    }
    return settings;
}

/** The names in package.json, which `cargo xtask generate` writes from the server's schema. */
function names(): string[] {
    const self = vscode.extensions.getExtension("carat.carat");
    const properties: object = self?.packageJSON.contributes.configuration.properties ?? {};
    return Object.keys(properties)
        .map((key) => key.slice("carat.".length))
        .filter((name) => !OWN.includes(name.split(".")[0]));
}
