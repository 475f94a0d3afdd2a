//! `completions` and `man`: the command line, written for shells and for `man`.

use clap::{Command, CommandFactory};
use serde_json::json;

use super::args::{Cli, Completions, Man};
use super::output::{Failure, Output};

/// Prints the script that completes `ensage` in a shell.
pub(crate) fn completions(output: Output, args: &Completions) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut visible(), "ensage", &mut script);
    let script = String::from_utf8(script).map_err(Failure::internal)?;
    output.document("completions", json!({ "shell": args.shell.to_string(), "script": script }), |_| script.clone())?;
    Ok(0)
}

/// The commands without what `gateway` is told by `run` alone: the script for bash would offer hidden options too.
fn visible() -> Command {
    let bare = |gateway: Command| {
        let about = gateway.get_about().cloned().unwrap_or_default();
        Command::new("gateway").about(about)
    };
    Cli::command().mut_subcommand("gateway", bare)
}

/// Prints the manual page of `ensage`, or of one of its commands.
pub(crate) fn man(output: Output, args: &Man) -> Result<u8, Failure> {
    let mut command = Cli::command();
    // Names the commands as their pages do: ensage-creds-add.
    command.build();
    let mut command = &command;
    for word in &args.command {
        command = command.find_subcommand(word).ok_or_else(|| {
            let failure = Failure::new("usage", format!("there is no command {word:?} of {}", command.get_name()));
            failure.remedy("`ensage --help` lists them")
        })?;
    }
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone()).source(concat!("ensage ", env!("CARGO_PKG_VERSION")));
    man.render(&mut page).map_err(Failure::internal)?;
    let page = String::from_utf8(page).map_err(Failure::internal)?;
    output.document("man", json!({ "page": page }), |_| page.clone())?;
    Ok(0)
}
