//! The command line: parse, find configuration and state folder, do one thing, map the outcome to an exit code.

mod again;
mod agents;
mod args;
mod audit;
mod ca;
mod check;
mod closing;
mod creds;
mod daemon;
mod explain;
mod output;
mod pages;
mod place;
mod report;
mod run;
mod sessions;
mod taken;
mod text;
mod variables;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Cli, Command};
use output::{Failure, Output};

/// Runs the command that `arguments` ask for, `arguments[0]` being the program.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &arguments),
    };
    if matches!(cli.command, Command::Gateway(_)) {
        again::with_tunables(&arguments);
    }
    let output = Output { json: cli.global.json, quiet: cli.global.quiet };
    let done = logged(&cli).and_then(|flush| {
        let done = dispatch(cli, output);
        drop(flush);
        done
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            output.failed(&failure);
            ExitCode::from(failure.exit)
        }
    }
}

/// Help goes to stdout with 0; everything else is a usage error, 2, and a document under `--json`.
fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let own = arguments.iter().skip(1).take_while(|a| *a != "--");
    if own.into_iter().any(|a| a == "--json") {
        let text = error.render().to_string();
        let first = text.lines().next().unwrap_or("").trim_start_matches("error: ").to_owned();
        Output { json: true, quiet: false }.failed(&Failure::new("usage", first).remedy("see `ensage --help`"));
    } else {
        let _ = error.print();
    }
    ExitCode::from(2)
}

fn dispatch(cli: Cli, output: Output) -> Result<u8, Failure> {
    let global = &cli.global;
    match cli.command {
        Command::Completions(completions) => pages::completions(output, &completions),
        Command::Man(man) => pages::man(output, &man),
        Command::Version => version(output),
        Command::Trust(trust) => check::trust(global, output, trust),
        Command::Check => check::check(global, output),
        Command::Gateway(gateway) => daemon::gateway(global, output, &gateway),
        Command::Status(status) => daemon::status(global, output, &status),
        Command::Reload => daemon::reload(global, output),
        Command::Env(env) => run::env(global, output, &env),
        Command::Run(run) => run::run(global, output, run).map_err(|f| match f.exit {
            2 => f,
            _ => f.exit(125),
        }),
        Command::Sessions(sessions) => sessions::sessions(global, output, &sessions),
        Command::Agents => agents::agents(global, output),
        Command::Ca(ca) => ca::ca(global, output, &ca),
        Command::Creds(creds) => creds::creds(global, output, creds),
        Command::Explain(explain) => explain::explain(global, output, &explain),
        Command::Audit(audit) => audit::audit(global, output, &audit),
    }
}

/// Logs go to stderr, as `-v`, `-q` and two variables say (contract section 1).
fn logged(cli: &Cli) -> Result<crate::telemetry::Flush, Failure> {
    let exit = if matches!(cli.command, Command::Run(_)) { 125 } else { 2 };
    crate::telemetry::install(cli.global.verbose, cli.global.quiet)
        .map_err(|bad| Failure::new("usage", bad.to_string()).remedy(bad.remedy).exit(exit))
}

fn version(output: Output) -> Result<u8, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    output.document("version", serde_json::json!({ "version": version }), |_| format!("ensage {version}\n"))?;
    Ok(0)
}
