//! Checks of this repository that no ready-made tool makes: `cargo run -p xtask -- tidy`.
#![forbid(unsafe_code)]

mod rust;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some("tidy"), None) = (args.next().as_deref(), args.next()) else {
        eprintln!("usage: cargo run -p xtask -- tidy");
        return ExitCode::from(2);
    };
    match tidy() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tidy: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Prints what is out of place and gives how much it is.
fn tidy() -> Result<usize> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?;
    let tree = tidy::Tree::read(root)?;
    let findings = tidy::check(&tree);
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("tidy: {} files, nothing out of place", tree.files.len()),
        count => println!("tidy: {count} found in {} files", tree.files.len()),
    }
    Ok(findings.len())
}
