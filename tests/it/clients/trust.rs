//! Whose certificates: every TLS library takes our leaves at its strictest, for names and for addresses, and a real one
//! that trusts its own CA only is let alone where nothing was configured.

use std::process::Command;

use ensage_tests::{Ca, Origin};

use crate::cli::home::{Daemon, Done, Home, done, fed, until};

const NAME: &str = "strict.lab.test";

struct Lab {
    home: Home,
    daemon: Daemon,
    origin: Origin,
}

impl Lab {
    fn start() -> Self {
        let ca = Ca::new();
        let origin = Origin::good(ca.leaf(&[NAME, "127.0.0.1"]));
        let home = Home::new();
        let roots = home.write("roots.pem", &ca.pem);
        let at = origin.address();
        home.write(
            "ensage-lab.toml",
            &format!(
                "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n[upstream]\nroots = [{roots:?}]\n\
                 resolve = {{ \"{NAME}:443\" = \"{at}\" }}\nprivate_addresses = [\"127.0.0.1/32\"]\n\
                 [enclave.lab]\nagents = [\"*\"]\n[[enclave.lab.http]]\nhost = \"{NAME}\"\n\
                 [[enclave.lab.http]]\nhost = \"{at}\"\n"
            ),
        );
        let daemon = home.gateway();
        Self { home, daemon, origin }
    }

    /// The two hosts, as they stand in a URL.
    fn hosts(&self) -> [String; 2] {
        [NAME.to_owned(), self.origin.address().to_string()]
    }

    fn proxy(&self) -> String {
        self.daemon.at.to_string()
    }

    fn ca(&self) -> String {
        self.home.state().join("ca/ca.pem").display().to_string()
    }

    /// The client has said `good` for each host, and the gateway has read what it asked for.
    fn check(&self, client: &str, ask: impl Fn(&str) -> Done) {
        for host in self.hosts() {
            let seen = ask(&host);
            assert_eq!((seen.code, seen.out.contains("good")), (Some(0), true), "{client} {host}: {seen:?}");
        }
        let calls = self.home.calls();
        let told: Vec<_> =
            calls.iter().map(|c| (c["type"].as_str().unwrap(), c["decision"].as_str().unwrap())).collect();
        assert_eq!(told, [("http", "allow"); 2], "{client}: {calls:#?}");
    }
}

/// The name and port of a host that may have none.
fn split(host: &str) -> (&str, &str) {
    host.rsplit_once(':').unwrap_or((host, "443"))
}

#[test]
fn curl_takes_our_leaves() {
    let lab = Lab::start();
    lab.check("curl", |host| {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "-x",
            &format!("http://{}", lab.proxy()),
            "--cacert",
            &lab.ca(),
            &format!("https://{host}/"),
        ]);
        done(&mut curl)
    });
}

#[test]
fn openssl_takes_our_leaves_at_its_strictest() {
    let lab = Lab::start();
    lab.check("openssl", |host| {
        let (name, port) = split(host);
        let (proxy, ca, to) = (lab.proxy(), lab.ca(), format!("{name}:{port}"));
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-quiet", "-proxy", &proxy, "-connect", &to, "-CAfile", &ca]);
        openssl.args(["-verify_return_error", "-x509_strict", "-verify", "5"]);
        match name.parse::<std::net::IpAddr>() {
            Ok(_) => openssl.args(["-noservername", "-verify_ip", name]),
            Err(_) => openssl.args(["-servername", name, "-verify_hostname", name]),
        };
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        fed(&mut openssl, request.as_bytes())
    });
}

/// With the flag that Python sets by default from 3.13 on.
const PYTHON: &str = r#"
import http.client, ssl, sys
proxy, host, port, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.verify_flags |= ssl.VERIFY_X509_STRICT
at, _, to = proxy.rpartition(":")
connection = http.client.HTTPSConnection(at, int(to), context=context, timeout=60)
connection.set_tunnel(host, int(port))
connection.request("GET", "/")
print(connection.getresponse().read().decode())
"#;

#[test]
fn python_takes_our_leaves_at_its_strictest() {
    let lab = Lab::start();
    lab.check("python", |host| {
        let (name, port) = split(host);
        done(Command::new("python3").args(["-c", PYTHON, &lab.proxy(), name, port, &lab.ca()]))
    });
}

/// Says `good`, or the code of what is wrong with the certificate.
const NODE: &str = r#"
const [proxy, host, port, ca] = process.argv.slice(1);
const [at, to] = proxy.split(":");
const http = require("http"), https = require("https"), net = require("net"), tls = require("tls");
http.request({ host: at, port: to, method: "CONNECT", path: `${host}:${port}`, headers: { host: `${host}:${port}` } })
  .on("connect", (answer, socket) => {
    const options = { socket, ca: require("fs").readFileSync(ca), host, servername: net.isIP(host) ? "" : host };
    const createConnection = () => tls.connect(options);
    const name = port == 443 ? host : `${host}:${port}`;
    https.get({ host, path: "/", createConnection, headers: { host: name, connection: "close" } }, (answer) => {
      answer.on("data", (some) => process.stdout.write(some)).on("end", () => process.exit(0));
    }).on("error", (error) => { console.log(error.code); process.exit(1); });
  }).on("error", (error) => { console.log(error.code); process.exit(2); }).end();
"#;

#[test]
fn node_takes_our_leaves() {
    let lab = Lab::start();
    lab.check("node", |host| {
        let (name, port) = split(host);
        done(Command::new("node").args(["-e", NODE, &lab.proxy(), name, port, &lab.ca()]))
    });
}

const JAVA: &str = r#"
import java.io.FileInputStream;
import java.net.*;
import java.net.http.*;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.*;

class Ask {
    public static void main(String[] words) throws Exception {
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        var in = new FileInputStream(words[2]);
        trusted.setCertificateEntry("ensage", CertificateFactory.getInstance("X.509").generateCertificate(in));
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        var context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        var proxy = URI.create("http://" + words[0]);
        var client = HttpClient.newBuilder().sslContext(context)
            .proxy(ProxySelector.of(new InetSocketAddress(proxy.getHost(), proxy.getPort()))).build();
        var request = HttpRequest.newBuilder(URI.create("https://" + words[1] + "/")).build();
        System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
}
"#;

/// A Java that compiles what it runs is no part of what the tests install.
#[test]
fn java_takes_our_leaves_where_it_is() {
    let compiles = Command::new("java").arg("--list-modules").output();
    if !compiles.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("jdk.compiler")) {
        eprintln!("skipped: no java that compiles");
        return;
    }
    let lab = Lab::start();
    let source = lab.home.write("Ask.java", JAVA);
    lab.check("java", |host| done(Command::new("java").arg(&source).args([&lab.proxy(), host, &lab.ca()])));
}

/// Node.js looks at the certificate when the handshake is done, and closes without a word.
#[test]
fn a_pinned_node_is_let_alone_without_a_configuration() {
    let ca = Ca::new();
    let origin = Origin::good(ca.leaf(&["127.0.0.1"]));
    let home = Home::new();
    let daemon = home.gateway();
    let pinned = home.write("pinned.pem", &ca.pem).display().to_string();
    let port = origin.port().to_string();
    let ask = || done(Command::new("node").args(["-e", NODE, &daemon.at.to_string(), "127.0.0.1", &port, &pinned]));
    for n in 1..=2 {
        let seen = ask();
        assert_eq!((seen.code, seen.out.trim()), (Some(1), "UNABLE_TO_VERIFY_LEAF_SIGNATURE"), "{seen:?}");
        until("the record", || (home.calls().len() == n).then_some(()));
    }
    assert_eq!(ask().out, "good");
    let types: Vec<_> = home.calls().iter().map(|call| call["type"].clone()).collect();
    assert_eq!(types, ["connect", "connect", "tunnel"]);
}
