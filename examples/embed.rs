//! An agent runtime with a gateway in its own process: no daemon, no port to agree on, no `ensage run`.
//!
//! ```text
//! cargo run -p ensage-gateway --example embed -- STATE CONFIG ENCLAVE AGENT CMD [ARGUMENTS...]
//! ```
//!
//! CMD is started as the agent AGENT of ENCLAVE. Its session has a listener of its own: who connects there is the agent.

use std::error::Error;
use std::process::{Command, ExitCode, ExitStatus};

use ensage_gateway::{Gateway, Options, SessionSpec};

/// Runs `agent` to its end.
pub(crate) fn run(
    state: &str,
    config: &str,
    spec: &SessionSpec,
    agent: &mut Command,
) -> Result<ExitStatus, Box<dyn Error>> {
    let gateway = Gateway::start(Options::new(state, &std::fs::read_to_string(config)?)?)?;
    let session = gateway.session(spec)?;
    agent.env("HTTPS_PROXY", session.proxy_url()).env("SSL_CERT_FILE", session.ca_path());
    agent.envs(session.placeholders().iter().cloned());
    let status = agent.status()?;
    session.close();
    gateway.stop();
    Ok(status)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [state, config, enclave, agent, program, arguments @ ..] = words.as_slice() else {
        return Err("usage: embed STATE CONFIG ENCLAVE AGENT CMD [ARGUMENTS...]".into());
    };
    let status = run(state, config, &SessionSpec::new(enclave, agent), Command::new(program).args(arguments))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
