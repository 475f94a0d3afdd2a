//! The command line, as contract section 1 fixes it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

/// A gateway between AI agents and everything they talk to.
#[derive(Debug, Parser)]
#[command(name = "ensage", version, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that may stand anywhere before `--`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The configuration to use
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The state folder [default: $ENSAGE_STATE, else the user's data folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more on stderr; twice for every step
    #[arg(short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing on stderr but errors
    #[arg(short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an agent through the gateway
    Run(Run),
    /// Run the daemon
    Gateway(GatewayArgs),
    /// Show the daemon's state
    Status(Status),
    /// Make the daemon read its configuration again
    Reload,
    /// List sessions, or stop an agent's reach now
    #[command(subcommand)]
    Sessions(Sessions),
    /// Print variables that point a shell at the running daemon
    Env(Env),
    /// The gateway's own certificate authority
    #[command(subcommand)]
    Ca(Ca),
    /// Accept a configuration that lies in a working folder
    Trust(Trust),
    /// Check a configuration and print every error at once
    Check,
    /// The decision the gateway would take, or took
    Explain(Explain),
    /// Secrets in the vault, and their placeholders
    #[command(subcommand)]
    Creds(Creds),
    /// Agents that are running now
    Agents,
    /// What each agent did
    Audit(Audit),
    /// Print a script that completes commands and options in a shell
    Completions(Completions),
    /// Print the manual page of ensage, or of one of its commands
    Man(Man),
    /// Print the version
    Version,
}

/// `run`
#[derive(Debug, Args)]
#[command(override_usage = "ensage run [OPTIONS] [--] <CMD>...")]
pub(crate) struct Run {
    /// The enclave to run in
    #[arg(long, value_name = "ENCLAVE")]
    pub(crate) enclave: Option<String>,
    /// Let through what the policy would deny, and record it
    #[arg(long)]
    pub(crate) observe: bool,
    /// Give the agent a network namespace of its own (not there yet: refused)
    #[arg(long, conflicts_with = "advisory")]
    pub(crate) contained: bool,
    /// Rest on the proxy variables alone
    #[arg(long)]
    pub(crate) advisory: bool,
    /// Exit with 1 if the agent ended well and something was denied
    #[arg(long)]
    pub(crate) fail_on_deny: bool,
    /// Write what became of the calls to a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) summary: Option<PathBuf>,
    /// The agent and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
}

/// `gateway`
#[derive(Debug, Args)]
pub(crate) struct GatewayArgs {
    /// End this long after the last session; `run` starts its gateway so
    #[arg(long, hide = true, value_name = "SECONDS")]
    pub(crate) linger: Option<u64>,
    /// The configuration was found in a working folder: only accepted texts of it count, at reloads too
    #[arg(long, hide = true)]
    pub(crate) working_folder: bool,
}

/// `status`
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print what it has counted, as Prometheus reads it
    #[arg(long)]
    pub(crate) metrics: bool,
}

/// `sessions`
#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// Show the sessions
    List,
    /// End a session: its streams close, its placeholders are void
    End {
        /// The session
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// Every session
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
}

/// `env`
#[derive(Debug, Args)]
pub(crate) struct Env {
    /// The enclave whose listener to use
    #[arg(long, value_name = "ENCLAVE")]
    pub(crate) enclave: Option<String>,
}

/// `ca`
#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    /// Print the certificate's path; makes the CA if there is none
    Path,
    /// Show the certificate, and where it is installed
    Show,
    /// Put the certificate into the system's trust store, for programs that take no CA from their environment
    Install,
    /// Take the certificate out of the system's trust store
    Uninstall,
    /// Make a new CA in place of the old one
    Rotate,
}

/// `trust`
#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// The file [default: ./ensage.toml]
    pub(crate) file: Option<PathBuf>,
}

/// `explain`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").args(["id", "url", "mcp", "llm"]).required(true))]
pub(crate) struct Explain {
    /// A decision that was taken
    #[arg(value_name = "DECISION_ID")]
    pub(crate) id: Option<String>,
    /// The enclave
    #[arg(long, value_name = "ENCLAVE", required_unless_present = "id")]
    pub(crate) enclave: Option<String>,
    /// The agent
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    /// A URL that would be asked for
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,
    /// An MCP server of the enclave
    #[arg(long, value_name = "SERVER")]
    pub(crate) mcp: Option<String>,
    /// A tool that would be called
    #[arg(long, value_name = "TOOL", requires = "mcp")]
    pub(crate) tool: Option<String>,
    /// The tool's arguments
    #[arg(long, value_name = "JSON", requires = "tool")]
    pub(crate) args: Option<String>,
    /// A resource that would be read
    #[arg(long, value_name = "URI", requires = "mcp", conflicts_with = "tool")]
    pub(crate) resource: Option<String>,
    /// A prompt that would be asked for
    #[arg(long, value_name = "PROMPT", requires = "mcp", conflicts_with_all = ["tool", "resource"])]
    pub(crate) prompt: Option<String>,
    /// An LLM provider of the enclave
    #[arg(long, value_name = "PROVIDER", requires = "model")]
    pub(crate) llm: Option<String>,
    /// The model
    #[arg(long, value_name = "MODEL", requires = "llm")]
    pub(crate) model: Option<String>,
}

/// `creds`
#[derive(Debug, Subcommand)]
pub(crate) enum Creds {
    /// Put a secret into the vault; it is read from stdin or asked for
    Add {
        /// The credential's name in the configuration
        name: String,
    },
    /// List credentials, never their values
    List,
    /// Remove a secret from the vault
    Rm {
        /// The credential's name
        name: String,
    },
    /// Replace a secret; it is read from stdin or asked for
    Rotate {
        /// The credential's name
        name: String,
    },
    /// Print a placeholder that every session of an agent may use
    Placeholder {
        /// The credential's name
        name: String,
        /// The agent that may use it
        #[arg(long, value_name = "AGENT")]
        agent: String,
        /// The enclave, where the agent is listed in several
        #[arg(long, value_name = "ENCLAVE")]
        enclave: Option<String>,
    },
}

/// `audit`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) command: Option<AuditCommand>,
    /// Only records since then: 90m, 7d, or an RFC 3339 instant
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Only records until then
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
    /// Only this agent
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Only this session
    #[arg(long)]
    pub(crate) session: Option<String>,
    /// Only this enclave
    #[arg(long)]
    pub(crate) enclave: Option<String>,
    /// Only tools that match
    #[arg(long, value_name = "GLOB")]
    pub(crate) tool: Option<String>,
    /// Only this decision; deny also finds what observe mode would have denied
    #[arg(long, value_parser = ["allow", "deny"])]
    pub(crate) decision: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Keep printing what comes
    #[arg(long)]
    pub(crate) follow: bool,
    /// Print CSV
    #[arg(long, conflicts_with_all = ["follow", "raw"])]
    pub(crate) csv: bool,
    /// Print the records as they are stored
    #[arg(long)]
    pub(crate) raw: bool,
}

/// `audit verify`
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check that no record was changed, moved or taken out
    Verify {
        /// A copy of audit/heads that was kept elsewhere
        #[arg(long, value_name = "FILE")]
        head: Option<PathBuf>,
    },
}

/// `completions`
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

/// `man`
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The command, e.g. `creds add`
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}
