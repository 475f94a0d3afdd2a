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

#[cfg(test)]
mod tests {
    use clap::Arg;
    use clap_complete::Shell;

    use super::*;

    const SHELLS: [Shell; 5] = [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell];

    fn script(shell: Shell) -> String {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut visible(), "ensage", &mut script);
        String::from_utf8(script).unwrap()
    }

    /// The page of a command, without the marks of roff.
    fn page(command: &Command) -> String {
        let mut page = Vec::new();
        clap_mangen::Man::new(command.clone()).render(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        page.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "")
    }

    /// Every command that can be given, with the words that lead to it.
    fn commands(of: &Command, words: &str, all: &mut Vec<(String, Command)>) {
        all.push((words.to_owned(), of.clone()));
        for inner in of.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help") {
            commands(inner, format!("{words} {}", inner.get_name()).trim_start(), all);
        }
    }

    #[test]
    fn completions_and_pages_have_all_of_the_command_line() {
        let mut whole = Cli::command();
        whole.build();
        let mut all = Vec::new();
        commands(&whole, "", &mut all);
        let scripts = SHELLS.map(|shell| (shell, script(shell)));
        let mut options = 0;
        for (words, command) in &all {
            let page = page(command);
            for inner in command.get_subcommands().filter(|c| !c.is_hide_set()) {
                let name = format!("{}-{}", command.get_display_name().unwrap_or("ensage"), inner.get_name());
                assert!(page.contains(&name), "{words}: {name} is missing in its page");
            }
            let last = command.get_name();
            let shown = |arg: &&Arg| !arg.is_hide_set();
            for option in command.get_arguments().filter(shown).filter_map(Arg::get_long) {
                options += 1;
                assert!(page.contains(&format!("--{option}")), "{words}: --{option} is missing in its page");
                for (shell, script) in &scripts {
                    assert!(script.contains(option), "{words}: --{option} is missing for {shell}");
                }
            }
            for (shell, script) in &scripts {
                assert!(script.contains(last), "{words} is missing for {shell}");
            }
            for choice in command.get_positionals().flat_map(Arg::get_possible_values).filter(|c| !c.is_hide_set()) {
                let (bash, name) = (&scripts[0].1, choice.get_name().to_owned());
                assert!(bash.contains(&name), "{words}: {name} is missing for bash");
            }
        }
        assert!(all.len() > 20 && options > 100, "{} commands, {options} options", all.len());
    }
}
