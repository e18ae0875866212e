// Finds the carat program: the setting, the extension's own copy, the path, cargo's folder.
import { execFile } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { homedir } from "node:os";
import * as path from "node:path";
import { promisify } from "node:util";
import * as vscode from "vscode";

const FILE = process.platform === "win32" ? "carat.exe" : "carat";

/** How long a program may take to say its version. */
const VERSION_MS_MAX = 10_000;

export interface Binary {
    path: string;
    /** What `carat --version` prints. */
    version: string;
}

/** No usable program; the message says where was looked and what to do. */
export class BinaryMissing extends Error {}

export async function findBinary(context: vscode.ExtensionContext): Promise<Binary> {
    const setting = vscode.workspace.getConfiguration("carat").get<string>("server.path", "").trim();
    if (setting) {
        const chosen = setting.replace(/^~(?=[/\\])/, homedir());
        return checked(chosen, `The setting carat.server.path is ${setting}`);
    }
    const found = candidates(context).find(isProgram);
    if (!found) {
        throw new BinaryMissing(
            "The carat program was not found: not in this extension, not on the PATH, not in ~/.cargo/bin. " +
                "Install it with `cargo install --locked --path server` in Carat's repository, or set carat.server.path.",
        );
    }
    return checked(found, `${found} was found`);
}

function candidates(context: vscode.ExtensionContext): string[] {
    const folders = [
        context.asAbsolutePath("bin"),
        ...(process.env.PATH ?? "").split(path.delimiter).filter((folder) => path.isAbsolute(folder)),
        path.join(process.env.CARGO_HOME ?? path.join(homedir(), ".cargo"), "bin"),
    ];
    return folders.map((folder) => path.join(folder, FILE));
}

function isProgram(file: string): boolean {
    try {
        accessSync(file, constants.X_OK);
        return statSync(file).isFile();
    } catch {
        return false;
    }
}

async function checked(file: string, origin: string): Promise<Binary> {
    try {
        const { stdout } = await promisify(execFile)(file, ["--version"], { timeout: VERSION_MS_MAX });
        return { path: file, version: stdout.trim() };
    } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new BinaryMissing(`${origin}, but it does not start: ${why.split("\n")[0]}`);
    }
}
