//! A gateway in the process of an agent runtime: the example as it stands, and what its interface promises.

use std::process::{Command, Stdio};

use ensage_gateway::gateway::{EmbedError, OptionsError, StartError};
use ensage_gateway::{Gateway, Options, SessionSpec};
use ensage_tests::{Ca, Origin, ok};

use crate::cli::home::{Done, Home, done, fed};

#[expect(dead_code, reason = "its `main` reads the arguments of a process")]
#[path = "../../../examples/embed.rs"]
mod example;

const KEY: &str = "the-real-key-of-this-embedder";

struct Lab {
    home: Home,
    origin: Origin,
}

impl Lab {
    fn new() -> Self {
        let home = Home::new();
        let ca = Ca::new();
        let origin = Origin::answering(Some(ca.leaf(&["api.lab.test"])), |_| ok("hello"));
        let roots = home.write("roots.pem", &ca.pem);
        let text = format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n[upstream]\nroots = [\"{}\"]\n\
             resolve = {{ \"api.lab.test:443\" = \"{}\" }}\nprivate_addresses = [\"127.0.0.1/32\"]\n\
             [agent.robot]\nexe = \"/nowhere/robot\"\n[enclave.lab]\nagents = [\"robot\"]\n\
             [[enclave.lab.http]]\nhost = \"api.lab.test\"\ncredential = \"lab\"\n[credential.lab]\nslot = \"bearer\"\n\
             hosts = [\"api.lab.test\"]\nplaceholder = \"lab_\"\nenv = \"LAB_TOKEN\"\n",
            roots.display(),
            origin.address()
        );
        home.write("ensage-lab.toml", &text);
        assert_eq!(fed(&mut home.ensage(&["creds", "add", "lab"]), KEY.as_bytes()).code, Some(0));
        Self { home, origin }
    }

    fn options(&self) -> Options {
        Options::new(self.home.state(), &std::fs::read_to_string(self.home.config()).unwrap()).unwrap()
    }

    fn curl(&self, session: &ensage_gateway::Session) -> Done {
        let mut curl = Command::new("curl");
        curl.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        curl.arg("-sSx").arg(session.proxy_url()).arg("--cacert").arg(session.ca_path());
        let (_, token) = &session.placeholders()[0];
        done(curl.arg("-H").arg(format!("authorization: Bearer {token}")).arg("https://api.lab.test/x"))
    }
}

#[test]
fn the_example_runs_an_agent_through_its_own_gateway() {
    let lab = Lab::new();
    let out = lab.home.path("out");
    let mut agent = Command::new("sh");
    agent.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).stdin(Stdio::null());
    let script = "echo $LAB_TOKEN; curl -sS -H \"authorization: Bearer $LAB_TOKEN\" https://api.lab.test/x";
    agent.args(["-c", &format!("{{ {script}; }} > {} 2>&1", out.display())]);
    let (state, config) = (lab.home.state(), lab.home.config());
    let spec = SessionSpec::new("lab", "robot");
    let status = example::run(state.to_str().unwrap(), config.to_str().unwrap(), &spec, &mut agent).unwrap();
    let said = std::fs::read_to_string(&out).unwrap();
    assert!(status.success(), "{said}");
    let (token, body) = said.split_once('\n').unwrap();
    assert!(token.starts_with("lab_ens_"), "{said}");
    assert_eq!(body, "hello");
    assert!(lab.origin.text().contains(&format!("Bearer {KEY}")), "{}", lab.origin.text());
    assert!(!lab.origin.text().contains("ens_"));

    let calls = lab.home.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    let session = &calls[0]["session"];
    assert_eq!((&session["agent"], &session["enclave"]), (&"robot".into(), &"lab".into()));
    assert_eq!(session["attribution"], "listener");
    assert_eq!((&calls[0]["decision"], &calls[0]["outcome"]), (&"allow".into(), &"complete".into()));
    assert_eq!(lab.home.done(&["audit", "verify"]).code, Some(0), "the log is closed");
}

#[test]
fn each_session_is_its_own_and_ends_when_it_is_closed() {
    let lab = Lab::new();
    let gateway = Gateway::start(lab.options()).unwrap();
    let spec = SessionSpec::new("lab", "robot");
    let (one, two) = (gateway.session(&spec).unwrap(), gateway.session(&spec).unwrap());
    assert_ne!((one.id(), one.proxy_url()), (two.id(), two.proxy_url()));
    assert_ne!(one.placeholders(), two.placeholders());
    assert!(one.ca_pem().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(lab.curl(&one).out, "hello");
    let proxy = one.proxy_url().trim_start_matches("http://").to_owned();
    one.close();
    crate::cli::home::until("its listener is closed", || std::net::TcpStream::connect(&proxy).err());
    assert_eq!(lab.curl(&two).out, "hello", "the other one goes on");
    assert_eq!(gateway.open_sessions(), 1);
    drop(two);
    assert_eq!(gateway.open_sessions(), 0);
}

#[test]
fn what_can_not_be_is_told_before_anything_runs() {
    let lab = Lab::new();
    let text = "[gateway]\nlisten = 5\nnonsense = 1\n";
    let Err(OptionsError::Config(errors)) = Options::new(lab.home.state(), text) else { panic!("it was taken") };
    assert_eq!(errors.len(), 2, "every error at once: {errors:?}");
    let gateway = Gateway::start(lab.options()).unwrap();
    assert!(matches!(Gateway::start(lab.options()), Err(StartError::AlreadyRunning)));
    let open = |enclave: &str, agent: &str| gateway.session(&SessionSpec::new(enclave, agent)).map(|s| s.id());
    assert!(matches!(open("none", "robot"), Err(EmbedError::NoEnclave(name)) if name == "none"));
    assert!(matches!(open("lab", "stranger"), Err(EmbedError::NotListed { .. })));
    assert!(open("lab", "robot").is_ok());
}
