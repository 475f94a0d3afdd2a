//! `gateway`, `status`, `reload`, and how the other commands reach the daemon.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use ensage_audit::AuditError;
use ensage_creds::VaultError;
use ensage_endpoint::activation::Passed;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::args::{GatewayArgs, Global, Status};
use super::output::{Failure, Output, chain};
use super::place::{self, Found, Place};
use super::text::at;
use crate::admin::client::{self, AdminError};
use crate::gateway::{Gateway, Options, StartError};
use crate::state::StateFolder;

/// How long a drain may take (contract section 1).
const DRAIN: Duration = Duration::from_secs(30);

/// Asks the daemon of `state`.
pub(crate) fn ask(state: &Path, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
    client::ask(state, method, path, body).map_err(failed)
}

pub(crate) fn failed(error: AdminError) -> Failure {
    match error {
        AdminError::NoGateway { .. } => Failure::new("no_gateway", error.to_string()).remedy(match place::in_session() {
            // There the variable does not count.
            true => "name the folder of the gateway that holds this session: --state DIR",
            false => {
                "start it with `ensage gateway` or `ensage run -- AGENT`, or name its folder with --state or $ENSAGE_STATE"
            }
        }),
        AdminError::Refused { code, message } => {
            let code = match code.as_str() {
                "no_gateway" => "no_gateway",
                "from_session" => "from_session",
                "bad_config" => "bad_config",
                "not_found" => "not_found",
                "exists" => "exists",
                "vault_locked" => "vault_locked",
                "usage" => "usage",
                _ => "internal",
            };
            match code {
                "from_session" => Failure::new(code, message).remedy(OUTSIDE),
                _ => Failure::new(code, message).exit(1),
            }
        }
        AdminError::Broken(_) => Failure::new("internal", chain(&error)),
    }
}

/// What a person does whose command is refused inside a session.
const OUTSIDE: &str = "run it in a terminal of your own, outside of every session";

/// Refuses a caller that runs inside a live session: an agent must not change what holds it. Whose session is of another
/// state folder, which is not to be known in it, is refused where no gateway says better.
pub(crate) fn not_from_session(state: &Path) -> Result<(), Failure> {
    let inside = match client::ask(state, "GET", "/v1/caller", None) {
        Ok(answer) => answer.get("inside").and_then(Value::as_bool) == Some(true),
        Err(AdminError::NoGateway { .. }) => place::in_session(),
        Err(error) => return Err(failed(error)),
    };
    match inside {
        true => Err(Failure::new("from_session", "this is refused to a process inside a session").remedy(OUTSIDE)),
        false => Ok(()),
    }
}

pub(crate) fn status(global: &Global, output: Output, args: &Status) -> Result<u8, Failure> {
    let state = place::find(global)?.state;
    if args.metrics {
        let text = client::metrics(&state).map_err(failed)?;
        output.document("status_metrics", json!({ "metrics": text }), |_| text.clone())?;
        return Ok(0);
    }
    let body = ask(&state, "GET", "/v1/status", None)?;
    output.document("status", body, |b| {
        let mut text = String::new();
        for (name, pointer) in [
            ("pid", "/pid"),
            ("started", "/started"),
            ("mode", "/mode"),
            ("generation", "/generation"),
            ("sessions", "/sessions"),
            ("connections", "/connections"),
            ("allowed", "/decisions/allow"),
            ("denied", "/decisions/deny"),
            ("audit", "/audit/seq"),
            ("vault", "/vault"),
        ] {
            text.push_str(&format!("{name:<12} {}\n", at(b, pointer)));
        }
        for listener in b.pointer("/listeners").and_then(Value::as_array).into_iter().flatten() {
            text.push_str(&format!("{:<12} {}\n", "listening on", at(listener, "")));
        }
        for d in b.pointer("/degraded").and_then(Value::as_array).into_iter().flatten() {
            text.push_str(&format!("degraded     {}\n  help: {}\n", at(d, "/message"), at(d, "/remedy")));
        }
        text
    })?;
    Ok(0)
}

pub(crate) fn reload(global: &Global, output: Output) -> Result<u8, Failure> {
    let state = place::find(global)?.state;
    not_from_session(&state)?;
    let body = ask(&state, "POST", "/v1/reload", None)?;
    output.document("reload", body, |b| format!("generation {} is in force\n", at(b, "/generation")))?;
    Ok(0)
}

/// Everything a gateway needs, read from `place`.
fn options(place: &Place, output: Output, passed: Vec<Passed>) -> Result<Options, Failure> {
    let policy = place::policy(place, output.json)?;
    let folder = StateFolder::open(&place.state).map_err(folder_failed)?;
    for warning in folder.warnings() {
        output.say(&format!("warning: {warning}"));
    }
    let again = place.clone();
    Ok(Options {
        state: folder,
        policy,
        keys: crate::state::keys(),
        again: Box::new(move || match place::read(&again) {
            Ok(reading) => match reading.policy {
                Some(policy) if reading.errors.is_empty() => Ok(policy),
                _ => Err(reading.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
            },
            Err(failure) => Err(failure.message),
        }),
        embedded: false,
        passed,
    })
}

pub(crate) fn folder_failed(error: ensage_endpoint::folder::FolderError) -> Failure {
    let remedy = error.remedy();
    Failure::new("internal", chain(&error)).remedy(remedy)
}

pub(crate) fn start_failed(error: StartError) -> Failure {
    let text = chain(&error);
    match error {
        StartError::AlreadyRunning => Failure::new("already_running", text).remedy("`ensage status` shows it"),
        StartError::Vault(e) => vault_failed(e),
        StartError::Ca(e) => Failure::new("internal", text).remedy(e.remedy()),
        StartError::Passed { .. } => Failure::new("internal", text)
            .remedy("add it to `listen` of [gateway] or of an enclave, or leave `listen` of [gateway] out"),
        StartError::Reachable { at } => Failure::new("internal", text).remedy(format!(
            "bind it to 127.0.0.1 in the unit; or name it, `listen = \"{at}\"` in [gateway]: clients on other machines are \
             refused all the same"
        )),
        StartError::Listen { source, .. } => Failure::new("internal", text).remedy(source.remedy()),
        StartError::Audit(AuditError::Version(other)) => Failure::new("internal", text).remedy(other.remedy()),
        _ => Failure::new("internal", text),
    }
}

pub(crate) fn vault_failed(error: ensage_creds::VaultError) -> Failure {
    let code = vault_code(&error);
    let failure = Failure::new(code, chain(&error));
    match error.remedy() {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    }
}

/// The code of interface section 1.
pub(crate) fn vault_code(error: &VaultError) -> &'static str {
    match error {
        VaultError::WrongKey | VaultError::WrongPassphrase | VaultError::NeedsPassphrase | VaultError::NeedsKey => {
            "vault_locked"
        }
        VaultError::Exists { .. } => "exists",
        VaultError::Missing { .. } => "not_found",
        _ => "internal",
    }
}

/// The daemon in the foreground.
pub(crate) fn gateway(global: &Global, output: Output, args: &GatewayArgs) -> Result<u8, Failure> {
    // Before there is a second thread.
    let passed = ensage_endpoint::activation::take().map_err(|error| {
        Failure::new("internal", chain(&error)).remedy("look at the sockets of the unit that starts this gateway")
    })?;
    // First thing: nobody of the same user may read this process's memory, and it leaves no core (threat H4).
    ensage_endpoint::harden::not_dumpable().map_err(Failure::internal)?;
    let _ = ensage_endpoint::harden::raise_nofile();
    crate::telemetry::tell_panics();
    let mut place = place::find(global)?;
    if args.working_folder {
        place.found = Found::WorkingFolder;
    }
    let options = options(&place, output, passed)?;
    let gateway = Gateway::start(options).map_err(start_failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::internal)?;
    // Before anybody is told that it is there: until then a signal does what it does to any program.
    let signals = {
        let _inside = runtime.enter();
        Signals::new().map_err(Failure::internal)?
    };
    let mut out = std::io::stdout().lock();
    for listener in gateway.listening() {
        let _ = writeln!(out, "listening on {listener}");
    }
    let _ = out.flush();
    drop(out);
    let linger = args.linger.map(Duration::from_secs);
    runtime.block_on(until_told(&gateway, signals, linger));
    gateway.stop();
    Ok(0)
}

/// What the daemon listens to besides its sockets.
struct Signals {
    hup: Signal,
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Takes them over; inside a runtime.
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hup: signal(SignalKind::hangup())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }
}

/// SIGHUP reloads, SIGTERM and SIGINT drain, a second one ends at once; `linger` ends an idle gateway of `run`.
async fn until_told(gateway: &Gateway, signals: Signals, linger: Option<Duration>) {
    let Signals { mut hup, mut term, mut int } = signals;
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            _ = hup.recv() => {
                // A refusal is told in the log and by `ensage status`.
                let _ = gateway.reload();
            }
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = tick.tick() => {
                if linger.is_some_and(|l| gateway.close_if_quiet(l)) {
                    return;
                }
            }
        }
    }
    let drained = gateway.drain(DRAIN);
    tokio::select! {
        () = drained => {}
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
