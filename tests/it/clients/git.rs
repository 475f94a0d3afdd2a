//! `git clone` and `git push` over https with git's own HTTP backend.

use std::path::Path;
use std::process::{Command, Stdio};

use ensage_tests::{Answer, Ca, Origin};

use crate::cli::home::{Home, done, fed};

fn git(home: &Home, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home.path("home"));
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "lab").env(format!("GIT_{who}_EMAIL"), "lab@lab.test");
    }
    let seen = done(command.current_dir(home.path("work")));
    assert_eq!(seen.code, Some(0), "{arguments:?}: {seen:?}");
}

/// Runs the backend as a CGI program (RFC 3875) and makes an HTTP answer of what it says.
fn backend(folder: &Path, request: &Answer) -> Vec<u8> {
    let line: Vec<&str> = request.head.lines().next().unwrap().split(' ').collect();
    let (path, query) = line[1].split_once('?').unwrap_or((line[1], ""));
    let mut command = Command::new("git");
    command.arg("http-backend").env("GIT_PROJECT_ROOT", folder).env("GIT_HTTP_EXPORT_ALL", "1");
    command.env("REQUEST_METHOD", line[0]).env("PATH_INFO", path).env("QUERY_STRING", query);
    command.env("CONTENT_LENGTH", request.body.len().to_string());
    for (field, variable) in [
        ("content-type", "CONTENT_TYPE"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
    ] {
        if let Some(value) = request.field(field) {
            command.env(variable, value);
        }
    }
    let mut child =
        ensage_tests::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null())).unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &request.body).unwrap();
    let out = child.wait_with_output().unwrap().stdout;
    let end = out.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&out[..end]).into_owned();
    let (status, fields): (Vec<&str>, Vec<&str>) = head.lines().partition(|l| l.starts_with("Status: "));
    let status = status.first().map_or("200 OK", |s| s.trim_start_matches("Status: "));
    let body = &out[end + 4..];
    let mut answer =
        format!("HTTP/1.1 {status}\r\n{}\r\ncontent-length: {}\r\n\r\n", fields.join("\r\n"), body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

#[test]
fn git_clones_and_pushes_what_is_allowed_and_no_more() {
    let home = Home::new();
    git(&home, &["init", "-q", "-b", "main", "src"]);
    std::fs::write(home.path("work/src/a.txt"), "in the repository\n").unwrap();
    std::fs::write(home.path("work/src/big"), vec![7u8; 2 << 20]).unwrap();
    git(&home, &["-C", "src", "add", "."]);
    git(&home, &["-C", "src", "commit", "-q", "-m", "first"]);
    git(&home, &["clone", "-q", "--bare", "src", "acme.git"]);
    git(&home, &["clone", "-q", "--bare", "src", "other.git"]);

    let ca = Ca::new();
    let folder = home.path("work");
    let origin = Origin::answering(Some(ca.leaf(&["git.lab.test"])), move |request| backend(&folder, request));
    let roots = home.write("roots.pem", &ca.pem);
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n[upstream]\nroots = [\"{}\"]\n\
         resolve = {{ \"git.lab.test:443\" = \"{}\" }}\nprivate_addresses = [\"127.0.0.1/32\"]\n\
         [enclave.lab]\nagents = [\"*\"]\n[[enclave.lab.http]]\nhost = \"git.lab.test\"\npaths = [\"/acme.git/**\"]\n\
         credential = \"forge\"\n[credential.forge]\nslot = \"bearer\"\nhosts = [\"git.lab.test\"]\n\
         placeholder = \"ghp_\"\nenv = \"FORGE_TOKEN\"\n",
        roots.display(),
        origin.address()
    );
    home.write("ensage-lab.toml", &text);
    assert_eq!(fed(&mut home.ensage(&["creds", "add", "forge"]), b"ghp_the-real-token").code, Some(0));
    git(&home, &["-C", "acme.git", "config", "http.receivepack", "true"]);
    git(&home, &["-C", "other.git", "config", "http.receivepack", "true"]);
    let script = "set -e; auth=\"http.extraHeader=Authorization: Bearer $FORGE_TOKEN\"; at=https://git.lab.test\n\
                  git -c \"$auth\" clone -q $at/acme.git got; cat got/a.txt; cmp src/big got/big\n\
                  if git clone -q $at/other.git no; then exit 9; fi\n\
                  cd got; head -c 3000000 /dev/urandom > new; git add new\n\
                  git -c user.name=lab -c user.email=lab@lab.test commit -qm second; git rev-parse HEAD\n\
                  if git -c \"$auth\" push -q $at/other.git main; then exit 8; fi\n\
                  git -c \"$auth\" push -q origin main\n";
    let seen = done(&mut home.run(&[], script));
    let pushed = std::fs::read_to_string(home.path("work/acme.git/refs/heads/main")).unwrap();
    assert_eq!((seen.code, &seen.out), (Some(0), &format!("in the repository\n{pushed}")), "{seen:?}");
    assert!(seen.err.contains("403"), "{seen:?}");

    let upstream = origin.text();
    assert!(upstream.contains("Bearer ghp_the-real-token") && !upstream.contains("ens_"), "the real token, alone");
    assert!(!upstream.contains("/other.git"), "what is refused is not asked for");
    let calls = home.calls();
    let told: Vec<_> = calls
        .iter()
        .map(|c| format!("{} {} {}", c["url"]["path"].as_str().unwrap(), c["decision"], c["credential"]["action"]))
        .collect();
    assert!(told.contains(&"/acme.git/info/refs \"allow\" \"substituted\"".to_owned()), "{told:?}");
    assert!(told.contains(&"/acme.git/git-receive-pack \"allow\" \"substituted\"".to_owned()), "{told:?}");
    assert!(told.contains(&"/acme.git/git-upload-pack \"allow\" \"substituted\"".to_owned()), "{told:?}");
    let refused = calls.iter().find(|c| c["decision"] == "deny").unwrap();
    assert_eq!(
        (&refused["reason"], &refused["url"]["path"]),
        (&"path_not_allowed".into(), &"/other.git/info/refs".into())
    );
    assert!(calls.iter().all(|c| c["session"]["agent"] == "sh"));
}
