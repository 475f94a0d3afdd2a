//! Leaves: who accepts them, and how often they are minted.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use ensage_policy::authority::Host;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use x509_parser::prelude::ParsedExtension;

use super::*;

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

fn minter() -> (tempfile::TempDir, Minter) {
    let state = tempfile::tempdir().unwrap();
    let minter = Minter::new(open(state.path()).unwrap()).unwrap();
    (state, minter)
}

fn client(minter: &Minter) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(minter.authority().certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// One connection: the leaf that was shown, if the client accepts it, and whether a ticket was taken up.
fn shake(
    minter: &Minter,
    client: &Arc<ClientConfig>,
    served: &str,
    asked: &str,
) -> Result<(Vec<u8>, Option<rustls::HandshakeKind>), std::io::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (near, far) = duplex(1 << 16);
    let server = tokio_rustls::TlsAcceptor::from(minter.leaf(&host(served)).unwrap());
    let name = ServerName::try_from(asked.to_owned()).unwrap();
    let connector = tokio_rustls::TlsConnector::from(client.clone());
    runtime.block_on(async {
        let serve = async {
            let mut stream = server.accept(far).await?;
            stream.write_all(b"x").await?;
            stream.shutdown().await
        };
        let ask = async {
            let mut stream = connector.connect(name, near).await?;
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await?;
            let connection = stream.get_ref().1;
            assert_eq!((read.as_slice(), connection.alpn_protocol()), (&b"x"[..], Some(&b"h2"[..])));
            let leaf = connection.peer_certificates().and_then(|c| c.first()).map(|c| c.to_vec()).unwrap_or_default();
            Ok((leaf, connection.handshake_kind()))
        };
        tokio::join!(serve, ask).1
    })
}

const HOSTS: &[&str] = &["api.example.com", "a_b.example.com", "xn--bcher-kva.example", "10.1.2.3", "[2001:db8::1]"];

#[test]
fn leaves_are_accepted_for_their_host_alone() {
    let (_state, minter) = minter();
    let client = client(&minter);
    for &name in HOSTS {
        let asked = name.trim_matches(['[', ']']);
        let (leaf, _) = shake(&minter, &client, name, asked).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).unwrap();
        assert_eq!(parsed.subject().iter_common_name().next().unwrap().as_str().unwrap(), asked);
        shake(&minter, &client, name, "other.example.com").expect_err("accepted for another name");
    }
    let stranger = self::minter().1;
    shake(&stranger, &client, "api.example.com", "api.example.com").expect_err("accepted of another CA");
}

#[test]
fn leaves_have_what_strict_clients_look_for() {
    let (_state, minter) = minter();
    let client = client(&minter);
    let long = format!("{}.example.com", "a".repeat(60));
    let mut serials = Vec::new();
    for name in [HOSTS[0], HOSTS[3], &long] {
        let (leaf, _) = shake(&minter, &client, name, name).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).unwrap();
        let san = parsed.subject_alternative_name().unwrap().unwrap();
        assert_eq!((san.value.general_names.len(), san.critical), (1, name == long), "{name}");
        assert_eq!(parsed.subject().iter().count(), usize::from(name != long));
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && !usage.client_auth && !usage.any);
        assert_eq!(parsed.key_usage().unwrap().unwrap().value.flags, 1, "digital signature only");
        assert!(!parsed.is_ca());
        let (mut subject_key, mut authority_key) = (None, None);
        for extension in parsed.iter_extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => subject_key = Some(id.0.to_vec()),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    authority_key = id.key_identifier.as_ref().map(|k| k.0.to_vec());
                }
                _ => {}
            }
        }
        let (_, ca) = x509_parser::parse_x509_certificate(minter.authority().certificate()).unwrap();
        let of_ca = ca.iter_extensions().find_map(|e| match e.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        assert!(subject_key.is_some_and(|k| Some(&k) != authority_key.as_ref()) && authority_key == of_ca);
        assert_eq!(parsed.raw_serial().len(), 16);
        serials.push(parsed.raw_serial().to_vec());
        let life = parsed.validity().not_after.to_datetime() - parsed.validity().not_before.to_datetime();
        assert_eq!(life, Duration::days(7) + Duration::hours(1));
    }
    serials.dedup();
    assert_eq!(serials.len(), 3);
}

#[test]
fn tickets_resume_for_the_same_host() {
    let (_state, minter) = minter();
    let client = client(&minter);
    let kinds = ["a.example.com", "a.example.com", "b.example.com"].map(|n| shake(&minter, &client, n, n).unwrap().1);
    use rustls::HandshakeKind::{Full, Resumed};
    assert_eq!(kinds, [Some(Full), Some(Resumed), Some(Full)]);
}

#[test]
fn h11_a_hundred_at_once_get_one_leaf() {
    let (_state, minter) = minter();
    let name = host("api.example.com");
    let start = std::sync::Barrier::new(100);
    let leaves: Vec<_> = std::thread::scope(|scope| {
        let ask = || {
            start.wait();
            minter.leaf(&name).unwrap()
        };
        let all: Vec<_> = (0..100).map(|_| scope.spawn(ask)).collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(leaves.iter().all(|l| Arc::ptr_eq(l, &leaves[0])));
}

#[test]
fn leaves_are_minted_anew_on_their_last_day() {
    let (_state, minter) = minter();
    let name = host("api.example.com");
    let now = OffsetDateTime::now_utc();
    let first = minter.leaf_at(&name, now).unwrap();
    let sixth = minter.leaf_at(&name, now + Duration::days(6) - Duration::minutes(1)).unwrap();
    assert!(Arc::ptr_eq(&first, &sixth));
    let later = now + Duration::days(6) + Duration::minutes(1);
    let second = minter.leaf_at(&name, later).unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(Arc::ptr_eq(&second, &minter.leaf_at(&name, later).unwrap()));
}

/// The leaf of a host as PEM.
fn leaf_pem(minter: &Minter, name: &str) -> String {
    let (leaf, _) = shake(minter, &client(minter), name, name).unwrap();
    let mut base64 = Command::new("openssl");
    base64.args(["x509", "-inform", "DER"]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = base64.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &leaf).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn openssl_accepts_leaves_strictly() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: no openssl");
        return;
    }
    let (state, minter) = minter();
    let long = format!("{}.example.com", "a".repeat(60));
    for (name, option) in [(HOSTS[0], "-verify_hostname"), (HOSTS[3], "-verify_ip"), (&long, "-verify_hostname")] {
        let leaf = state.path().join("leaf.pem");
        fs::write(&leaf, leaf_pem(&minter, name)).unwrap();
        let mut verify = Command::new("openssl");
        verify.args(["verify", "-x509_strict", "-purpose", "sslserver", option, name, "-CAfile"]);
        let output = verify.arg(&minter.authority().facts().path).arg(&leaf).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Handshakes in memory, with the flag that Python sets by default from 3.13 on.
const PYTHON: &str = r#"
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.verify_flags |= ssl.VERIFY_X509_STRICT
with socket.create_connection(("127.0.0.1", int(sys.argv[3])), 10) as plain:
    with context.wrap_socket(plain, server_hostname=sys.argv[2]) as tls:
        assert tls.recv(1) == b"x"
"#;

#[test]
fn python_accepts_leaves_strictly() {
    let version =
        Command::new("python3").args(["-c", "import ssl, sys; sys.exit(sys.version_info < (3, 10))"]).status();
    if !version.is_ok_and(|s| s.success()) {
        eprintln!("skipped: no python3 of 3.10 or later");
        return;
    }
    let (_state, minter) = minter();
    for name in [HOSTS[0], HOSTS[3]] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let mut python = Command::new("python3");
        python.arg("-c").arg(PYTHON).arg(&minter.authority().facts().path).args([name, &port]);
        python.stderr(std::process::Stdio::piped());
        let child = python.spawn().unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let mut tls = rustls::ServerConnection::new(minter.leaf(&host(name)).unwrap()).unwrap();
        let mut served = rustls::Stream::new(&mut tls, &mut stream);
        let _ = std::io::Write::write_all(&mut served, b"x");
        tls.send_close_notify();
        let _ = tls.complete_io(&mut stream);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
