//! npm and pip at stand-ins for their registries: a scoped name and its tarball, an index and its wheel.

use std::path::Path;
use std::process::Command;

use ensage_tests::{Answer, Ca, Origin, ok};

use super::servers::{node, python};
use crate::cli::home::{Done, Home, done, fed};

const TOKEN: &str = "npm_the-real-token-of-this-test";

/// A home whose `lab` may read one scope and one project. npm asks for `@acme%2fthing`, one segment with a slash in it:
/// in a rule `?` takes that slash, `/` does not.
fn lab(answer: impl Fn(&Answer) -> Vec<u8> + Send + Sync + 'static) -> (Home, Origin) {
    let (home, ca) = (Home::new(), Ca::new());
    let origin = Origin::answering(Some(ca.leaf(&["npm.lab.test", "pypi.lab.test"])), answer);
    let roots = home.write("roots.pem", &ca.pem);
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n[upstream]\nroots = [\"{}\"]\n\
         resolve = {{ \"*.lab.test:443\" = \"{}\" }}\nprivate_addresses = [\"127.0.0.1/32\"]\n\
         [enclave.lab]\nagents = [\"*\"]\n[[enclave.lab.http]]\nhost = \"npm.lab.test\"\nmethods = [\"GET\"]\n\
         paths = [\"/@acme?thing\", \"/@acme/**\"]\n[[enclave.lab.http]]\nhost = \"pypi.lab.test\"\n\
         methods = [\"GET\"]\npaths = [\"/simple/acme-thing/\", \"/files/**\"]\n[credential.npm]\nslot = \"bearer\"\n\
         hosts = [\"npm.lab.test\"]\nplaceholder = \"npm_\"\nenv = \"NPM_TOKEN\"\n",
        roots.display(),
        origin.address()
    );
    home.write("ensage-lab.toml", &text);
    assert_eq!(fed(&mut home.ensage(&["creds", "add", "npm"]), TOKEN.as_bytes()).code, Some(0));
    (home, origin)
}

fn bytes(body: &[u8]) -> Vec<u8> {
    let mut all = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    all.extend_from_slice(body);
    all
}

fn absent() -> Vec<u8> {
    b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec()
}

/// Makes a file in a folder of its own, with a program.
fn made(folder: &Path, file: &str, program: &Path, arguments: &[&str]) -> Vec<u8> {
    let seen = done(Command::new(program).args(arguments).current_dir(folder));
    assert_eq!(seen.code, Some(0), "{seen:?}");
    std::fs::read(folder.join(file)).unwrap()
}

fn told(home: &Home, path: &str) -> (String, String, String) {
    let calls = home.calls();
    let call = calls.iter().find(|c| c["url"]["path"] == path).unwrap_or_else(|| panic!("{path}: {calls:?}"));
    let [decision, reason] = ["decision", "reason"].map(|k| call[k].as_str().unwrap_or("").to_owned());
    (decision, reason, call["credential"]["action"].as_str().unwrap_or("").to_owned())
}

fn is(decision: &str, reason: &str, action: &str) -> (String, String, String) {
    (decision.to_owned(), reason.to_owned(), action.to_owned())
}

#[test]
fn npm_installs_a_scoped_package() {
    let Some(node) = node() else { return };
    let package = tempfile::tempdir().unwrap();
    std::fs::create_dir(package.path().join("package")).unwrap();
    let manifest = r#"{"name":"@acme/thing","version":"1.2.3"}"#;
    std::fs::write(package.path().join("package/package.json"), manifest).unwrap();
    let tarball = made(package.path(), "t.tgz", Path::new("tar"), &["-czf", "t.tgz", "package"]);
    let (home, origin) = lab(move |request| match request.head.split(' ').nth(1).unwrap() {
        "/@acme%2fthing" => ok(
            r#"{"name":"@acme/thing","dist-tags":{"latest":"1.2.3"},"versions":{"1.2.3":{"name":"@acme/thing","version":"1.2.3","dist":{"tarball":"https://npm.lab.test/@acme/thing/-/thing-1.2.3.tgz"}}}}"#,
        ),
        "/@acme/thing/-/thing-1.2.3.tgz" => bytes(&tarball),
        _ => absent(),
    });
    home.write("work/package.json", r#"{"name":"work","version":"1.0.0"}"#);
    home.write("work/.npmrc", "registry=https://npm.lab.test/\n//npm.lab.test/:_authToken=${NPM_TOKEN}\n");
    let script = "npm install --no-audit --no-fund --no-update-notifier --loglevel=error @acme/thing && \
                  cat node_modules/@acme/thing/package.json && ! npm install --no-audit --loglevel=error @other/thing";
    let path = format!("{}:{}", node.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let seen = done(home.run(&[], script).env("PATH", path));
    assert_eq!(seen.code, Some(0), "{seen:?}\n{:?}", home.calls());
    assert!(seen.out.contains(manifest), "{seen:?}");
    assert!(seen.err.contains("403"), "{seen:?}");
    let lock = std::fs::read_to_string(home.path("work/package-lock.json")).unwrap();
    assert!(lock.contains("https://npm.lab.test/@acme/thing/-/thing-1.2.3.tgz"), "{lock}");

    let upstream = origin.text();
    assert!(upstream.contains("GET /@acme%2fthing HTTP/1.1"), "as npm wrote it: {upstream}");
    assert!(upstream.contains(&format!("Bearer {TOKEN}")) && !upstream.contains("ens_"), "{upstream}");
    assert!(!upstream.contains("@other"), "{upstream}");
    assert_eq!(told(&home, "/@acme%2fthing"), is("allow", "", "substituted"));
    assert_eq!(told(&home, "/@acme/thing/-/thing-1.2.3.tgz"), is("allow", "", "substituted"));
    assert_eq!(told(&home, "/@other%2fthing"), is("deny", "path_not_allowed", ""));
    assert_sealed(&home, &seen);
}

#[test]
fn pip_downloads_a_wheel() {
    let Some(python) = python() else { return };
    let name = "acme_thing-1.2.3-py3-none-any.whl";
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "import zipfile\nz = zipfile.ZipFile('{name}', 'w')\nz.writestr('acme_thing.py', '')\n\
         d = 'acme_thing-1.2.3.dist-info/'\nz.writestr(d + 'METADATA', 'Metadata-Version: 2.1\\nName: acme-thing\\nVersion: 1.2.3\\n')\n\
         z.writestr(d + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
         z.writestr(d + 'RECORD', '')\nz.close()\n"
    );
    let wheel = made(folder.path(), name, &python, &["-c", &script]);
    let sent = wheel.clone();
    let (home, origin) = lab(move |request| match request.head.split(' ').nth(1).unwrap() {
        "/simple/acme-thing/" => {
            let page = format!("<!DOCTYPE html><a href=\"/files/{name}\">{name}</a>");
            let head = format!("content-type: text/html\r\ncontent-length: {}\r\n", page.len());
            format!("HTTP/1.1 200 OK\r\n{head}\r\n{page}").into_bytes()
        }
        path if path == format!("/files/{name}") => bytes(&sent),
        _ => absent(),
    });
    let pip = format!(
        "{} -m pip --disable-pip-version-check --no-cache-dir download -q --no-deps --index-url https://pypi.lab.test/simple",
        python.display()
    );
    let seen = done(&mut home.run(&[], &format!("{pip} acme-thing && ! {pip} other-thing")));
    assert_eq!(seen.code, Some(0), "{seen:?}\n{:?}", home.calls());
    assert!(std::fs::read(home.path("work").join(name)).unwrap() == wheel);
    assert!(seen.err.contains("No matching distribution found for other-thing"), "{seen:?}");
    assert!(!origin.text().contains("other-thing"));
    assert_eq!(told(&home, "/simple/acme-thing/"), is("allow", "", ""));
    assert_eq!(told(&home, &format!("/files/{name}")), is("allow", "", ""));
    assert_eq!(told(&home, "/simple/other-thing/"), is("deny", "path_not_allowed", ""));
    assert_sealed(&home, &seen);
}

fn assert_sealed(home: &Home, seen: &Done) {
    let records: String = home.records(&[]).iter().map(ToString::to_string).collect();
    assert!(!records.contains(TOKEN) && !records.contains("ens_"), "{records}");
    assert!(!seen.out.contains(TOKEN) && !seen.err.contains(TOKEN), "{seen:?}");
}
