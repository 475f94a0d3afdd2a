//! The walls of the workspace, as tables and the rules that read them.
//!
//! Every rule takes the tree as values, so its tests show it a bad one. A finding names its place and the remedy.

mod deps;
#[cfg(test)]
mod tests;
mod text;
mod walls;

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Files that may be longer than [`MAX_LINES`], each with the reason. None is wanted.
pub const LONG_FILES: [(&str, &str); 0] = [];

/// A longer file has two subjects.
pub const MAX_LINES: usize = 400;

/// Which crate of the workspace may name which (design section 4); `dev:` for its tests alone. What is not here has no
/// place yet.
pub const WALLS: [(&str, &[&str]); 10] = [
    ("ensage-simd", &[]),
    ("ensage-mcp", &["ensage-simd"]),
    ("ensage-creds", &[]),
    ("ensage-policy", &["ensage-mcp"]),
    ("ensage-audit", &[]),
    ("ensage-endpoint", &[]),
    (
        "ensage-gateway",
        &["ensage-mcp", "ensage-creds", "ensage-policy", "ensage-audit", "ensage-endpoint", "dev:ensage-tests"],
    ),
    // The rig: what stands around the binary, not what is in it.
    ("ensage-tests", &[]),
    (
        "ensage-benches",
        &["ensage-gateway", "ensage-mcp", "ensage-creds", "ensage-policy", "ensage-audit", "ensage-endpoint"],
    ),
    ("xtask", &[]),
];

/// Who must not reach these packages, through any number of others.
pub const UNREACHABLE: [(&[&str], &[&str]); 1] = [(
    &["ensage-simd", "ensage-mcp", "ensage-creds", "ensage-policy", "ensage-audit", "ensage-endpoint"],
    &[
        "tokio",
        "hyper",
        "hyper-util",
        "h2",
        "rustls",
        "tokio-rustls",
        "openssl",
        "native-tls",
        "mio",
        "async-std",
        "smol",
    ],
)];

/// Who must not name these packages as a dependency of its own.
pub const NOT_DIRECT: [(&[&str], &[&str]); 2] = [
    (&["ensage-mcp", "ensage-policy"], &["libc", "rustix", "nix", "socket2", "getrandom"]),
    (&["ensage-creds", "ensage-audit", "ensage-gateway"], &["libc", "nix"]),
];

/// A path that the program part of a crate must not use.
pub struct Ban {
    pub within: &'static str,
    pub paths: &'static [&'static str],
    /// Where it may: the beginnings of file names.
    pub except: &'static [&'static str],
    pub remedy: &'static str,
}

const NETWORK: [&str; 8] =
    ["TcpStream", "TcpListener", "UdpSocket", "ToSocketAddrs", "UnixStream", "UnixListener", "tokio", "hyper"];

/// I/O, clocks and threads where there are none.
pub const BANS: [Ban; 10] = [
    Ban {
        within: "ensage-mcp/src",
        paths: &["std::fs", "std::net", "std::process", "std::env", "std::thread", "std::os"],
        except: &[],
        remedy: "ensage-mcp does no I/O: let the caller pass bytes or values",
    },
    Ban {
        within: "ensage-mcp/src",
        paths: &["Instant::now", "SystemTime::now"],
        except: &[],
        remedy: "ensage-mcp has no clock: take an Instant as an argument",
    },
    Ban {
        within: "ensage-mcp/src",
        paths: &NETWORK,
        except: &[],
        remedy: "ensage-mcp knows no sockets: let the gateway feed it",
    },
    Ban {
        within: "ensage-policy/src",
        paths: &["std::fs"],
        except: &["ensage-policy/src/config"],
        remedy: "only ensage-policy/src/config may load files",
    },
    Ban {
        within: "ensage-policy/src",
        paths: &["std::process", "std::env", "std::thread", "std::os", "Instant::now", "SystemTime::now"],
        except: &[],
        remedy: "ensage-policy decides by what it is given: take it as an argument",
    },
    Ban {
        within: "ensage-policy/src",
        paths: &NETWORK,
        except: &[],
        remedy: "ensage-policy knows no sockets: take the address as an argument",
    },
    Ban {
        within: "ensage-creds/src",
        paths: &["std::fs", "std::thread", "rustix", "Instant::now", "SystemTime::now"],
        except: &["ensage-creds/src/vault"],
        remedy: "only ensage-creds/src/vault has files, waits and a clock: take bytes or a time as an argument",
    },
    Ban {
        within: "ensage-creds/src",
        paths: &["std::process", "std::env"],
        except: &[],
        remedy: "ensage-creds starts nothing and asks no environment: take it as an argument",
    },
    Ban {
        within: "ensage-creds/src",
        paths: &NETWORK,
        except: &[],
        remedy: "ensage-creds knows HTTP types, not servers: let the gateway call it",
    },
    Ban {
        within: "ensage-audit/src",
        paths: &["TcpStream", "TcpListener", "UdpSocket", "UnixStream", "std::process::Command", "tokio", "hyper"],
        except: &[],
        remedy: "ensage-audit writes files: network sinks get a crate of their own",
    },
];

/// Where `unsafe` may stand: what only the operating system can do, and what only the machine's own instructions can.
pub const UNSAFE_ROOMS: [&str; 3] = ["ensage-endpoint/", "ensage-simd/src/x86.rs", "ensage-simd/src/avx512.rs"];

/// Roots that forbid `unsafe` in so many words.
pub const FORBID_ROOTS: [&str; 7] = [
    "ensage-mcp/src/lib.rs",
    "ensage-creds/src/lib.rs",
    "ensage-policy/src/lib.rs",
    "ensage-audit/src/lib.rs",
    "ensage-gateway/src/lib.rs",
    "ensage-gateway/src/main.rs",
    "xtask/src/main.rs",
];

/// The one caller of the function that writes a secret, and the file that has it.
pub const FILL_CALLERS: [&str; 2] = ["ensage-gateway/src/flow/substitute.rs", "ensage-creds/src/egress"];

/// The same for the function that writes the secret of the next hop.
pub const BASIC_CALLERS: [&str; 2] = ["ensage-gateway/src/upstream/hop.rs", "ensage-creds/src/egress"];

/// The proofs, and the only folder that makes them.
pub const PROOFS: [&str; 2] = ["HeadPermit", "BodyPermit"];
pub const PROOF_ROOM: &str = "ensage-policy/src/judge";

/// One thing out of place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub file: String,
    /// From 1; 0 for the file as a whole.
    pub line: usize,
    pub rule: &'static str,
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: [{}] {}", self.file, self.line.max(1), self.rule, self.message)
    }
}

/// A file of the repository.
#[derive(Clone, Debug)]
pub struct File {
    /// From the root, with `/`.
    pub path: String,
    /// Empty if it is not UTF-8.
    pub text: String,
}

impl File {
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the whole file is test code: `tests.rs` or anything in a folder `tests`.
    pub fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }

    pub fn find(&self, line: usize, rule: &'static str, message: impl Into<String>) -> Finding {
        Finding { file: self.path.clone(), line, rule, message: message.into() }
    }
}

/// What is looked at: the files that git knows or would add, and what cargo says of the packages.
pub struct Tree {
    pub files: Vec<File>,
    pub metadata: Value,
}

impl Tree {
    pub fn read(root: &Path) -> Result<Self> {
        let listed = output(
            Command::new("git")
                .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
                .current_dir(root),
        )?;
        let mut files = Vec::new();
        for path in String::from_utf8(listed).context("git listed a name that is not UTF-8")?.split_terminator('\0') {
            // A file that is gone from the work tree is nobody's fault; one that is not text has a name only.
            if let Ok(bytes) = std::fs::read(root.join(path)) {
                files.push(File { path: path.to_owned(), text: String::from_utf8(bytes).unwrap_or_default() });
            }
        }
        ensure!(files.iter().any(|file| file.path == "Cargo.toml"), "git lists no Cargo.toml in {}", root.display());
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let described =
            output(Command::new(cargo).args(["metadata", "--format-version", "1", "--locked"]).current_dir(root))?;
        let metadata = serde_json::from_slice(&described).context("cargo metadata is no JSON")?;
        Ok(Self { files, metadata })
    }
}

/// Everything out of place, in the order of files.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = deps::check(&tree.metadata);
    for file in &tree.files {
        findings.extend(text::check(file));
        if file.is_rust() {
            findings.extend(walls::check(file));
        }
    }
    findings.extend(text::fuzz_targets(&tree.files));
    findings.sort();
    findings.dedup();
    findings
}

fn output(command: &mut Command) -> Result<Vec<u8>> {
    let done = command.output().with_context(|| format!("{command:?} can't be started"))?;
    ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(done.stdout)
}
