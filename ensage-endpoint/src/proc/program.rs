//! What a command would run, before it is started.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

use super::script;

/// So much of a file the kernel reads for its `#!` line (`BINPRM_BUF_SIZE`).
const LINE_BYTES: u64 = 256;
/// An interpreter may itself be a script; the kernel follows four times (execve(2)).
const SCRIPTS_MAX: usize = 5;

/// An executable and, if it is an interpreter, the script that it is to run; both resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// What the process's `/proc/PID/exe` will be.
    pub exe: PathBuf,
    /// What [`super::Process::script`] will be.
    pub script: Option<PathBuf>,
}

impl Program {
    /// Finds out what a command would run: its name in `path` (the `PATH` of its environment) or its path from `cwd`,
    /// then `#!` lines, with `env` looked through. `None` if there is no such program.
    pub fn planned(program: &OsStr, args: &[OsString], path: Option<&OsStr>, cwd: &Path) -> Option<Self> {
        let mut file = find(program, path, cwd)?;
        let mut words: Vec<OsString> = std::iter::once(program.to_owned()).chain(args.iter().cloned()).collect();
        for _ in 0..SCRIPTS_MAX {
            let Some((interpreter, argument)) = interpreter(&file) else {
                return Some(Self { script: script_in(&file, &words, cwd), exe: file });
            };
            let mut line = vec![interpreter.clone()];
            line.extend(argument);
            line.push(file.into_os_string());
            line.extend(words.drain(1..));
            words = line;
            file = find(&interpreter, path, cwd)?;
            if file.file_name() == Some(OsStr::new("env")) {
                words = behind_env(&words)?;
                file = find(words.first()?, path, cwd)?;
            }
        }
        None
    }
}

fn find(program: &OsStr, path: Option<&OsStr>, cwd: &Path) -> Option<PathBuf> {
    let runs = |at: PathBuf| (at.is_file() && access(&at, Access::EXEC_OK).is_ok()).then(|| at.canonicalize().ok())?;
    if program.as_bytes().contains(&b'/') {
        return runs(cwd.join(program));
    }
    // What execvp(3) uses where there is no PATH.
    let path = path.unwrap_or(OsStr::new("/bin:/usr/bin"));
    path.as_bytes()
        .split(|byte| *byte == b':')
        .find_map(|folder| runs(cwd.join(OsStr::from_bytes(folder)).join(program)))
}

/// The interpreter and its one argument by a file's `#!` line (execve(2)).
fn interpreter(file: &Path) -> Option<(OsString, Option<OsString>)> {
    let mut head = Vec::new();
    fs::File::open(file).ok()?.take(LINE_BYTES).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?.trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let (interpreter, rest) = line.split_at_checked(end)?;
    let rest = rest.trim_ascii();
    let word = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    (!interpreter.is_empty()).then(|| (word(interpreter), (!rest.is_empty()).then(|| word(rest))))
}

/// The command behind `env` (env(1)): `-S` splits its word on blanks; assignments and options without values go.
fn behind_env(words: &[OsString]) -> Option<Vec<OsString>> {
    let mut rest = words.get(1..)?.to_vec();
    let first = rest.first()?.as_bytes().to_vec();
    let split = first.strip_prefix(b"-S").or_else(|| first.strip_prefix(b"--split-string="));
    if let Some(split) = split {
        let parts = split.split(u8::is_ascii_whitespace).filter(|part| !part.is_empty());
        rest.splice(0..1, parts.map(|part| OsStr::from_bytes(part).to_owned()));
    }
    let is_command = |word: &OsString| !word.as_bytes().starts_with(b"-") && !word.as_bytes().contains(&b'=');
    let at = rest.iter().position(is_command)?;
    Some(rest.split_off(at))
}

fn script_in(exe: &Path, words: &[OsString], cwd: &Path) -> Option<PathBuf> {
    let line = words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>().join(&0);
    let named = script::argument(script::syntax_of(exe)?, &line)?;
    cwd.join(OsStr::from_bytes(named)).canonicalize().ok().filter(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_command_is_resolved_as_the_kernel_would() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        fs::create_dir_all(at.join("lib")).unwrap();
        fs::create_dir_all(at.join("bin")).unwrap();
        for (name, text, mode) in [
            ("lib/cli.js", "#!/usr/bin/env perl\n", 0o755),
            ("lib/split.sh", "#!/usr/bin/env -S A=1 bash -e -u\n", 0o755),
            ("lib/plain.sh", "#! /bin/bash -e\necho", 0o755),
            ("lib/nested", "#!lib/plain.sh\n", 0o755),
            ("lib/broken", "#!/no/such\n", 0o755),
            ("lib/bare", "echo\n", 0o755),
            ("lib/data", "#!/bin/bash\n", 0o644),
        ] {
            fs::write(at.join(name), text).unwrap();
            fs::set_permissions(at.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("../lib/cli.js", at.join("bin/agent")).unwrap();
        let path = format!("{}:/usr/bin:/bin", at.join("bin").display());
        let real = |path: &str| fs::canonicalize(path).unwrap();
        let (perl, bash) = (real("/usr/bin/perl"), real("/bin/bash"));
        for (command, want) in [
            ("agent -e x", Some((&perl, Some("lib/cli.js")))),
            ("lib/split.sh", Some((&bash, Some("lib/split.sh")))),
            ("./lib/plain.sh -c", Some((&bash, Some("lib/plain.sh")))),
            ("bash lib/bare", Some((&bash, Some("lib/bare")))),
            ("bash -c lib/bare", Some((&bash, None))),
            ("bash", Some((&bash, None))),
            ("lib/nested", Some((&bash, Some("lib/plain.sh")))),
            ("lib/broken", None),
            ("lib/data", None),
            ("lib", None),
            ("no-such", None),
        ] {
            let mut words = command.split(' ').map(OsString::from);
            let program = words.next().unwrap();
            let args: Vec<OsString> = words.collect();
            let got = Program::planned(&program, &args, Some(OsStr::new(&path)), &at);
            let want =
                want.map(|(exe, script)| Program { exe: exe.clone(), script: script.map(|script| at.join(script)) });
            assert_eq!(got, want, "{command}");
        }
        let bare = Program::planned(OsStr::new("lib/bare"), &[], None, &at).unwrap();
        assert_eq!(bare, Program { exe: at.join("lib/bare"), script: None });
    }
}
