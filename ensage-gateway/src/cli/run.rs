//! `run` and `env`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ensage_endpoint::catalogue::{Verdict, judge_program};
use ensage_endpoint::launch::{Ended, Launch};
use ensage_endpoint::proc::{Digests, Process, Program};
use ensage_policy::judge::{Hint, enclave_of};
use ensage_policy::model::Enclave;
use ensage_policy::{Mode, Policy, Tier};
use serde_json::{Value, json};

use super::args::{Env, Global, Run};
use super::closing;
use super::daemon::{ask, failed, folder_failed};
use super::output::{Failure, Output};
use super::place::{self, Found, Place};
use super::report::Report;
use super::text::at;
use super::variables::{OWN, changes, inherited_bundles, quoted};
use crate::admin::client::{self, AdminError};
use crate::admin::{Open, Opened};
use crate::bundle;
use crate::gateway::matchers;
use crate::state::StateFolder;

/// How long a gateway that `run` starts may take until it is ready.
const READY_WAIT: Duration = Duration::from_secs(20);
/// How long the gateway that `run` starts lives on after its last session.
const LINGER_SECONDS: u64 = 5;
/// What the gateway that `run` starts says on stderr.
const LOG: &str = "gateway.log";

type Environment = BTreeMap<OsString, OsString>;

/// Runs a program through the gateway; everything that goes wrong before it is 125.
pub(crate) fn run(global: &Global, output: Output, run: Run) -> Result<u8, Failure> {
    // The agent could read the keys that were taken out of its environment in ours (threat H4).
    ensage_endpoint::harden::not_dumpable().map_err(Failure::internal)?;
    let place = place::find(global)?;
    let policy = place::policy(&place, output.json)?;
    let (program, arguments) = split(run.command.clone())?;
    let planned = planned(&program, &arguments);
    let agent = agent_name(&policy, &program, planned.as_ref());
    let enclave = choose(&policy, &agent, planned.as_ref(), run.enclave.as_deref())?;
    let mode = if run.observe { Mode::Observe } else { enclave.mode };
    tier(&run, mode, enclave)?;
    let mut report = Report::open(&run)?;
    let state = StateFolder::open(&place.state).map_err(folder_failed)?;
    for warning in state.warnings() {
        output.say(&format!("warning: {warning}"));
    }
    let environment: Environment = std::env::vars_os().collect();
    let open = asked(&run, enclave, &agent, planned, &environment)?;
    let opened = session(&place, &policy, state.path(), global.verbose, &open)?;
    let life = client::life(state.path(), &opened.session).map_err(failed)?;
    if place.config.is_none() {
        output.say("the embedded default: every call is let through and recorded");
    }
    for name in &opened.missing {
        output.say(&format!("credential {name} has no secret yet: `ensage creds add {name}`"));
    }
    output.say("advisory: the agent's reach rests on its proxy variables; what ignores them is not seen");
    let launch = Launch {
        program,
        args: arguments,
        env: child_environment(environment, &opened, state.path(), output)?.into_iter().collect(),
        ..Launch::new("")
    };
    let ended = launch.start().and_then(|running| running.wait(Some(life.as_fd())));
    let code = match &ended {
        Ok(ended) => {
            if *ended == Ended::GatewayDied {
                output.say("error: the gateway has died, so the agent was ended");
            }
            ended.code()
        }
        Err(error) => {
            output.say(&super::output::chain(error));
            error.code()
        }
    };
    let counted = closing::counted(state.path(), &opened.session, report.is_wanted());
    if ended.is_ok() {
        closing::hints(output, counted.as_ref());
    }
    let code = report.finish(&open, &opened.session, code, counted.as_ref());
    closing::last_line(output, &counted.unwrap_or_default(), &opened.session);
    drop(life);
    Ok(code)
}

fn split(command: Vec<OsString>) -> Result<(OsString, Vec<OsString>), Failure> {
    let mut words = command.into_iter();
    let program = words.next().ok_or_else(|| Failure::new("usage", "no command was given"))?;
    Ok((program, words.collect()))
}

/// What the command will run, if there is such a program.
fn planned(program: &OsString, arguments: &[OsString]) -> Option<Program> {
    let path = std::env::var_os("PATH");
    let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    Program::planned(program, arguments, path.as_deref(), &folder)
}

/// The definition that the program matches, else its base name: what `run` starts is an agent by that act.
fn agent_name(policy: &Policy, program: &OsString, planned: Option<&Program>) -> String {
    let digests = Digests::new();
    match planned.map(|p| judge_program(p, &matchers(policy), &|path| digests.of_file(path))) {
        Some(Verdict::Agent(name)) => name.to_string(),
        _ => Path::new(program).file_name().map_or_else(|| "agent".to_owned(), |n| n.to_string_lossy().into_owned()),
    }
}

/// `--enclave`, else the one enclave that lists the agent and holds the working folder.
fn choose<'p>(
    policy: &'p Policy,
    agent: &str,
    planned: Option<&Program>,
    named: Option<&str>,
) -> Result<&'p Enclave, Failure> {
    if let Some(name) = named {
        // What `run` starts in a named enclave is its agent by that act.
        return place::enclave(policy, name).map(AsRef::as_ref);
    }
    let folder = std::env::current_dir().and_then(|d| d.canonicalize()).unwrap_or_else(|_| PathBuf::from("/"));
    enclave_of(policy, agent, Hint::Folder(&folder))
        .map(AsRef::as_ref)
        .map_err(|denial| place::unlisted(policy, agent, planned.map(|p| p.exe.as_path()), denial))
}

/// Containment is not there yet: whoever needs it is refused, and nobody gets less than was asked for.
fn tier(run: &Run, mode: Mode, enclave: &Enclave) -> Result<(), Failure> {
    let contained = run.contained || enclave.require == Tier::Contained || (mode == Mode::Enforce && !run.advisory);
    if !contained {
        return Ok(());
    }
    Err(Failure::new("internal", "contained sessions are not there yet in this version").remedy(
        "`ensage run --advisory -- CMD` rests on the proxy variables: protection against accident, not against attack",
    ))
}

/// Opens a session of a gateway that stays; one that was found in its last moment is followed by another.
fn session(place: &Place, policy: &Policy, state: &Path, verbose: u8, open: &Open) -> Result<Opened, Failure> {
    let open = serde_json::to_value(open).map_err(Failure::internal)?;
    let until = Instant::now() + READY_WAIT;
    loop {
        ready(place, policy, state, verbose)?;
        match client::ask(state, "POST", "/v1/sessions", Some(&open)) {
            Ok(opened) => return serde_json::from_value(opened).map_err(Failure::internal),
            Err(error) if leaving(&error) && Instant::now() < until => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

fn leaving(error: &AdminError) -> bool {
    match error {
        AdminError::NoGateway { .. } | AdminError::Broken(_) => true,
        AdminError::Refused { code, .. } => code == "no_gateway",
    }
}

/// Waits until the gateway that was here has let go of the state folder.
fn gone(state: &Path) -> Result<(), Failure> {
    let Ok(lock) = File::open(state.join("gateway.lock")) else { return Ok(()) };
    let until = Instant::now() + READY_WAIT;
    while rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockShared).is_err() {
        if Instant::now() >= until {
            let text = "a gateway on this state folder is shutting down, and does not end";
            return Err(
                Failure::new("already_running", text).remedy("end what still runs through it, or use another --state")
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Makes sure that a gateway runs for this state folder, with this configuration. Twenty at once start one.
fn ready(place: &Place, policy: &Policy, state: &Path, verbose: u8) -> Result<(), Failure> {
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(state.join("run.lock"))
        .map_err(Failure::internal)?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).map_err(Failure::internal)?;
    match client::ask(state, "GET", "/v1/status", None) {
        Ok(status) if status.get("draining").and_then(Value::as_bool) != Some(true) => same(place, policy, &status),
        Ok(_) | Err(AdminError::NoGateway { .. } | AdminError::Broken(_)) => {
            gone(state)?;
            start(place, state, verbose)
        }
        Err(error) => Err(failed(error)),
    }
}

fn same(place: &Place, policy: &Policy, status: &Value) -> Result<(), Failure> {
    if status.get("policy_hash").and_then(Value::as_str) == Some(&*policy.sha256) {
        return Ok(());
    }
    let name = |path: Option<&str>| path.map_or_else(|| "the embedded default".to_owned(), |path| format!("{path:?}"));
    if status.get("config").and_then(Value::as_str).map(Path::new) == place.config.as_deref() && place.config.is_some()
    {
        let file = name(place.config.as_deref().and_then(Path::to_str));
        return Err(Failure::new(
            "already_running",
            format!("the gateway that runs here has an older version of {file}"),
        )
        .remedy("`ensage reload` puts the new one in force"));
    }
    let running = name(status.get("config").and_then(Value::as_str));
    let wanted = name(place.config.as_deref().and_then(Path::to_str));
    Err(Failure::new("already_running", format!("a gateway runs here with {running}, and this command means {wanted}"))
        .remedy("`ensage reload` if the file has changed, or another --state"))
}

/// Starts one that says as much as this command was told to, into its own file.
fn start(place: &Place, state: &Path, verbose: u8) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    use std::os::unix::process::CommandExt;
    let log = state.join(LOG);
    let stderr =
        File::options().create(true).truncate(true).write(true).mode(0o600).open(&log).map_err(Failure::internal)?;
    let mut command = Command::new(std::env::current_exe().map_err(Failure::internal)?);
    command.arg("gateway").arg("--linger").arg(LINGER_SECONDS.to_string()).arg("--state").arg(state);
    if let Some(config) = &place.config {
        command.arg("--config").arg(config);
    }
    if place.found == Found::WorkingFolder {
        command.arg("--working-folder");
    }
    command.args((0..verbose).map(|_| "-v"));
    // A group of its own: what the terminal sends to the agent is not meant for the gateway.
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .current_dir("/")
        .process_group(0)
        .spawn()
        .map_err(Failure::internal)?;
    let until = Instant::now() + READY_WAIT;
    loop {
        if let Ok(status) = client::ask(state, "GET", "/v1/status", None)
            && status.get("pid").and_then(Value::as_u64) == Some(child.id().into())
        {
            return Ok(());
        }
        let gone = child.try_wait().map_err(Failure::internal)?.is_some();
        if gone || Instant::now() >= until {
            return Err(did_not_start(&std::fs::read_to_string(&log).unwrap_or_default()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The failure that a gateway told on its stderr, with its remedy; else the last lines there.
fn did_not_start(said: &str) -> Failure {
    const SEE: &str = "run `ensage gateway` in a terminal to see why";
    let failure = |why: &str| Failure::new("internal", format!("the gateway did not start:{why}"));
    let Some((_, told)) = said.rsplit_once("ensage: error: ") else {
        let last: Vec<&str> = said.lines().rev().take(8).collect();
        return failure(&last.into_iter().rev().map(|line| format!("\n{line}")).collect::<String>()).remedy(SEE);
    };
    let (why, remedy) = told.split_once("\n  help: ").unwrap_or((told, SEE));
    failure(&format!(" {}", why.trim_end())).remedy(remedy.trim_end())
}

/// What `run` asks the gateway for.
fn asked(
    run: &Run,
    enclave: &Enclave,
    agent: &str,
    planned: Option<Program>,
    environment: &Environment,
) -> Result<Open, Failure> {
    let this = Process::this().map_err(Failure::internal)?;
    let text = |path: PathBuf| path.into_os_string().into_string().ok();
    let (executable, script) = planned.map(|p| (text(p.exe), p.script.and_then(text))).unwrap_or_default();
    Ok(Open {
        enclave: enclave.name.to_string(),
        agent: agent.to_owned(),
        observe: run.observe,
        executable,
        script,
        pid: this.pid,
        start_time: this.start_time,
        bundles: bundles(environment),
        environment: environment
            .iter()
            .filter_map(|(k, v)| Some((k.to_str()?.to_owned(), v.to_str()?.to_owned())))
            .filter(|(_, v)| v.len() >= ensage_creds::SECRET_BYTES_MIN)
            .collect(),
    })
}

fn bundles(environment: &Environment) -> Vec<String> {
    inherited_bundles(environment).iter().map(|p| p.display().to_string()).collect()
}

/// What the program is started with: nothing of the old environment leads past the gateway or holds a real secret.
fn child_environment(
    mut environment: Environment,
    opened: &Opened,
    state: &Path,
    output: Output,
) -> Result<Environment, Failure> {
    let bundle = Path::new(&opened.bundle);
    let wgetrc = wgetrc(&environment, state, &opened.proxy, bundle)?;
    let changes = changes(&environment, &opened.proxy, bundle, &wgetrc);
    for name in changes.unset.iter().map(String::as_str).chain(OWN) {
        environment.remove(OsStr::new(name));
    }
    environment.extend(changes.set.into_iter().map(|(k, v)| (OsString::from(k), v)));
    for name in &opened.dropped {
        output.say(&format!("{name} holds a secret of the vault and was taken out of the environment"));
        environment.remove(&OsString::from(name));
    }
    for (name, token) in &opened.variables {
        environment.insert(name.into(), token.into());
    }
    environment.insert("ENSAGE_SESSION".into(), opened.session.clone().into());
    Ok(environment)
}

fn wgetrc(environment: &Environment, state: &Path, proxy: &str, bundle: &Path) -> Result<PathBuf, Failure> {
    let folder = state.join("bundles");
    // One of ours is nobody's own: behind `env` another would grow out of it each time.
    let own = environment.get(&OsString::from("WGETRC")).map(PathBuf::from).filter(|own| !own.starts_with(&folder));
    let home = environment.get(&OsString::from("HOME")).map(|h| Path::new(h).join(".wgetrc"));
    bundle::wgetrc(&folder, own.or(home).as_deref(), proxy, bundle).map_err(Failure::internal)
}

/// Prints what points a shell at the running daemon.
pub(crate) fn env(global: &Global, output: Output, args: &Env) -> Result<u8, Failure> {
    let state = place::find(global)?.state;
    let environment: Environment = std::env::vars_os().collect();
    let wanted = json!({ "enclave": args.enclave, "bundles": bundles(&environment) });
    let answer = ask(&state, "POST", "/v1/env", Some(&wanted))?;
    let (proxy, bundle) = (at(&answer, "/proxy"), at(&answer, "/bundle"));
    let wgetrc = wgetrc(&environment, &state, &proxy, Path::new(&bundle))?;
    let changes = changes(&environment, &proxy, Path::new(&bundle), &wgetrc);
    let variables: BTreeMap<&str, String> =
        changes.set.iter().map(|(k, v)| (k.as_str(), v.to_string_lossy().into_owned())).collect();
    output.document("env", json!({ "variables": variables, "unset": changes.unset }), |_| {
        let mut text = String::new();
        for (name, value) in &variables {
            text.push_str(&format!("export {name}={}\n", quoted(value)));
        }
        for name in &changes.unset {
            text.push_str(&format!("unset {name}\n"));
        }
        text
    })?;
    Ok(0)
}
