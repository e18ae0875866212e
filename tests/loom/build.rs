//! Makes modules of the pool's code: one as it is, and one with each weakening of `src/weakened.rs`.

use std::path::Path;
use std::{env, fs};

#[path = "src/weakened.rs"]
mod weakened;

const POOL: &str = "../../engine/src/kernels/pool/shared.rs";

fn main() {
    println!("cargo::rerun-if-changed={POOL}");
    println!("cargo::rerun-if-changed=src/weakened.rs");
    let folder = env::var("OUT_DIR").expect("cargo sets it");
    let folder = Path::new(&folder);
    let code = fs::read_to_string(POOL).expect("the pool's code is there");
    // An included file cannot have inner comments.
    let code = code.replace("//!", "//");
    let mut modules = String::new();
    let mut add = |name: &str, code: &str, expected: &str| {
        fs::write(folder.join(format!("{name}.rs")), code).expect("the folder can be written");
        modules.push_str(&format!("case!({name}, {expected});\n"));
    };
    add("as_it_is", &code, "holds");
    for (name, from, to) in weakened::WEAKENED {
        assert_eq!(code.matches(from).count(), 1, "{name}: `{from}` in {POOL}");
        add(name, &code.replace(from, to), "fails");
    }
    fs::write(folder.join("cases.rs"), modules).expect("the folder can be written");
}
