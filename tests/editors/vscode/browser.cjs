// Starts code-server with an extension and opens a folder in headless Chromium.
const cp = require("node:child_process");
const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");
const { chromium } = require("playwright-core");

/** A busy machine takes a minute for what an idle one does in seconds. */
const PATIENCE_MS = 120_000;

const started = Date.now();
const say = (...what) => console.log(((Date.now() - started) / 1000).toFixed(1).padStart(6), ...what);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, probe, ms = PATIENCE_MS) {
    for (const end = Date.now() + ms; Date.now() < end; await sleep(100)) {
        const value = await probe();
        if (value) return value;
    }
    throw new Error(`did not happen in ${ms / 1000} s: ${what}`);
}

function freePort() {
    return new Promise((resolve) => {
        const server = net.createServer().listen(0, "127.0.0.1", () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });
}

function answers(port) {
    return new Promise((resolve) => {
        const socket = net.connect(port, "127.0.0.1", () => resolve(true) || socket.end());
        socket.on("error", () => resolve(false));
    });
}

const SETTINGS = {
    // How busy the machine is decides no answer.
    "carat.deadlineMs": 30_000,
    "carat.explicitDeadlineMs": 30_000,
    "chat.disableAIFeatures": true,
    "editor.autoClosingBrackets": "never",
    "editor.fontSize": 16,
    "editor.inlineSuggest.enabled": true,
    "editor.lightbulb.enabled": "off",
    "editor.minimap.enabled": false,
    "editor.parameterHints.enabled": false,
    "editor.quickSuggestions": { other: "off", comments: "off", strings: "off" },
    "editor.suggestOnTriggerCharacters": false,
    "editor.wordBasedSuggestions": "off",
    "extensions.autoCheckUpdates": false,
    "extensions.ignoreRecommendations": true,
    "files.autoSave": "afterDelay",
    "files.autoSaveDelay": 200,
    "git.enabled": false,
    "security.workspace.trust.enabled": false,
    "telemetry.telemetryLevel": "off",
    "update.mode": "none",
    "workbench.activityBar.location": "hidden",
    "workbench.colorTheme": "Default Light Modern",
    "workbench.enableExperiments": false,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": false,
};

/** `run` is an empty folder for everything that is written; `environment` is what the extension sees. */
async function open({ run, folder, codeServer, vsix, settings, machineSettings, out, environment }) {
    const user = path.join(run, "user");
    fs.mkdirSync(path.join(user, "User"), { recursive: true });
    fs.writeFileSync(path.join(user, "User/settings.json"), JSON.stringify({ ...SETTINGS, ...settings }, null, 1));
    // Programs and models are settings of the machine on which the extension runs.
    fs.mkdirSync(path.join(user, "Machine"), { recursive: true });
    fs.writeFileSync(path.join(user, "Machine/settings.json"), JSON.stringify(machineSettings));
    // No gallery: code-server would ask one on the network.
    const env = { ...environment, HOME: run, EXTENSIONS_GALLERY: '{"serviceUrl":""}' };
    const entry = path.join(codeServer, "out/node/entry.js");
    const common = ["--config", `${run}/config.yaml`, "--user-data-dir", user, "--extensions-dir", `${run}/extensions`];
    if (vsix) cp.execFileSync(process.execPath, [entry, ...common, "--install-extension", vsix], { stdio: "pipe", env });
    const port = await freePort();
    const quiet = ["--auth", "none", "--disable-telemetry", "--disable-update-check", "--disable-workspace-trust", "--disable-getting-started-override", "--disable-proxy"];
    const log = fs.openSync(path.join(out, "code-server.log"), "a");
    const server = cp.spawn(process.execPath, [entry, ...common, ...quiet, "--bind-addr", `127.0.0.1:${port}`, folder], { stdio: ["ignore", log, log], detached: true, env });
    let context;
    const close = async () => {
        await context?.close().catch(() => {});
        try {
            process.kill(-server.pid);
        } catch {
            // It has ended already.
        }
    };
    try {
        await until("code-server answers", () => answers(port));
        context = await chromium.launchPersistentContext(path.join(run, "chromium"), {
            executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
            headless: true,
            viewport: { width: 1000, height: 600 },
            args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--proxy-server=127.0.0.1:9", "--proxy-bypass-list=127.0.0.1"],
        });
        const page = context.pages()[0] ?? (await context.newPage());
        page.setDefaultTimeout(PATIENCE_MS);
        page.setDefaultNavigationTimeout(PATIENCE_MS);
        await page.goto(`http://127.0.0.1:${port}/?folder=${folder}`, { waitUntil: "domcontentloaded" });
        await page.waitForSelector(".monaco-workbench .part.editor");
        return { page, close };
    } catch (error) {
        await close();
        throw error;
    }
}

module.exports = { open, say, sleep, until };
