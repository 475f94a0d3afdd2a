//! Which argument of an interpreter is its script.
//!
//! A hash of `node` or `python` says nothing about the agent; the script does. The command line is the process's
//! own memory, so a hostile process can rewrite it: this tells programs apart, it does not hold against an attack
//! by the same user (which is what the tier `advisory` says).

use std::path::Path;

/// How one interpreter reads its command line.
pub(super) struct Syntax {
    /// Base names; a version may follow (`python3.12`).
    names: &'static [&'static str],
    /// Letters after which there is no script: code from the command line, a module, standard input.
    none_short: &'static str,
    /// Letters whose value is the rest of the word or the next word.
    value_short: &'static str,
    /// Letters whose value, if any, is the rest of the word.
    rest_short: &'static str,
    /// Letters that always take a word of their own, wherever they stand in a cluster.
    word_short: &'static str,
    /// Long options after which there is no script.
    none_long: &'static [&'static str],
    /// Long options whose value is the next word, unless it follows a `=`.
    value_long: &'static [&'static str],
    /// Words that may stand before the script.
    run: &'static [&'static str],
    /// Words that mean something else than running a file.
    other: &'static [&'static str],
}

const EMPTY: Syntax = Syntax {
    names: &[],
    none_short: "",
    value_short: "",
    rest_short: "",
    word_short: "",
    none_long: &[],
    value_long: &[],
    run: &[],
    other: &[],
};

/// From `node --help` (24), python(1), ruby(1), perlrun(1), bash(1), `deno run --help` (2), `bun --help` (1).
const SYNTAXES: &[Syntax] = &[
    Syntax {
        names: &["node", "nodejs"],
        none_short: "ep",
        value_short: "rC",
        none_long: &["--eval", "--print", "--run", "--build-sea", "--experimental-sea-config"],
        value_long: &[
            "--conditions",
            "--diagnostic-dir",
            "--disable-warning",
            "--dns-result-order",
            "--env-file",
            "--env-file-if-exists",
            "--experimental-loader",
            "--heapsnapshot-signal",
            "--icu-data-dir",
            "--import",
            "--input-type",
            "--inspect-port",
            "--loader",
            "--localstorage-file",
            "--max-http-header-size",
            "--openssl-config",
            "--redirect-warnings",
            "--require",
            "--secure-heap",
            "--secure-heap-min",
            "--test-name-pattern",
            "--test-reporter",
            "--test-reporter-destination",
            "--title",
            "--tls-cipher-list",
            "--tls-keylog",
            "--trace-event-categories",
            "--trace-event-file-pattern",
            "--unhandled-rejections",
            "--watch-path",
        ],
        other: &["inspect"],
        ..EMPTY
    },
    Syntax {
        names: &["python", "pypy"],
        none_short: "cm",
        value_short: "WXQ",
        value_long: &["--check-hash-based-pycs"],
        ..EMPTY
    },
    Syntax {
        names: &["ruby"],
        none_short: "e",
        value_short: "rICEX",
        rest_short: "FKWTix0",
        value_long: &["--encoding", "--external-encoding", "--internal-encoding", "--disable", "--enable"],
        ..EMPTY
    },
    Syntax { names: &["perl"], none_short: "eE", value_short: "I", rest_short: "MmxCDiFV0l", ..EMPTY },
    Syntax {
        names: &["sh", "bash", "dash", "zsh", "ksh", "ash", "busybox"],
        none_short: "cs",
        word_short: "oO",
        value_long: &["--rcfile", "--init-file", "--emulate"],
        ..EMPTY
    },
    Syntax {
        names: &["deno"],
        value_short: "cL",
        none_long: &["--eval"],
        value_long: &[
            "--cert",
            "--config",
            "--env-file",
            "--ext",
            "--host",
            "--import-map",
            "--location",
            "--log-level",
            "--port",
            "--preload",
            "--require",
            "--seed",
            "--unsafely-ignore-certificate-errors",
        ],
        run: &["run", "serve"],
        other: &[
            "add",
            "bench",
            "bundle",
            "cache",
            "check",
            "compile",
            "coverage",
            "doc",
            "eval",
            "fmt",
            "info",
            "init",
            "install",
            "jupyter",
            "lint",
            "lsp",
            "publish",
            "remove",
            "repl",
            "task",
            "test",
            "types",
            "uninstall",
            "upgrade",
            "x",
        ],
        ..EMPTY
    },
    Syntax {
        names: &["bun"],
        none_short: "ep",
        value_short: "rcdlF",
        none_long: &["--eval", "--print"],
        value_long: &[
            "--conditions",
            "--config",
            "--cwd",
            "--define",
            "--env-file",
            "--filter",
            "--import",
            "--loader",
            "--port",
            "--preload",
            "--require",
            "--shell",
            "--tsconfig-override",
        ],
        run: &["run"],
        other: &[
            "add", "audit", "build", "create", "exec", "info", "init", "install", "link", "outdated", "patch", "pm",
            "publish", "remove", "repl", "test", "unlink", "update", "upgrade", "why", "x",
        ],
        ..EMPTY
    },
];

/// The syntax of an interpreter, by the base name of its resolved path.
pub(super) fn syntax_of(exe: &Path) -> Option<&'static Syntax> {
    let name = exe.file_name()?.to_str()?;
    let name = name.strip_suffix(".exe").unwrap_or(name);
    SYNTAXES.iter().find(|syntax| syntax.names.iter().any(|known| is_name(name, known)))
}

/// `python3.12`, `ruby3.3`, `perl5.36.0`, `python3.13t`, `node-22` are versions of the known name.
fn is_name(name: &str, known: &str) -> bool {
    let Some(version) = name.strip_prefix(known) else { return false };
    let version = version.strip_prefix('-').unwrap_or(version);
    version.is_empty()
        || (version.starts_with(|c: char| c.is_ascii_digit())
            && version.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-'))
}

/// What one word of the command line means.
enum Word {
    /// An option that ends here.
    Alone,
    /// An option whose value is the next word (so many of them).
    Takes(usize),
    /// There is no script.
    NoScript,
}

/// The script argument in a NUL-separated command line, as it was given.
pub(super) fn argument<'a>(syntax: &Syntax, command_line: &'a [u8]) -> Option<&'a [u8]> {
    let command_line = command_line.strip_suffix(&[0]).unwrap_or(command_line);
    let mut words = command_line.split(|byte| *byte == 0).skip(1).peekable();
    let mut run_seen = false;
    while let Some(word) = words.next() {
        if word == b"--" {
            return script(words.next()?);
        }
        if word == b"-" || word.is_empty() {
            return None;
        }
        let signed = word.first() == Some(&b'-') || (word.first() == Some(&b'+') && syntax.word_short.contains('o'));
        if !signed {
            // Only the first plain word can be a subcommand: after `run`, `test` is a file.
            let text = std::str::from_utf8(word).unwrap_or_default();
            if !run_seen && syntax.run.contains(&text) {
                run_seen = true;
                continue;
            }
            if !run_seen && syntax.other.contains(&text) {
                return None;
            }
            return script(word);
        }
        match option(syntax, std::str::from_utf8(word).unwrap_or_default()) {
            Word::Alone => {}
            Word::Takes(count) => {
                for _ in 0..count {
                    words.next()?;
                }
            }
            Word::NoScript => return None,
        }
    }
    None
}

/// A script from the network or standard input has no path.
fn script(word: &[u8]) -> Option<&[u8]> {
    let remote = word.windows(3).take(16).any(|window| window == b"://");
    let scheme = [&b"npm:"[..], b"jsr:", b"node:", b"data:"].iter().any(|scheme| word.starts_with(scheme));
    (!word.is_empty() && word != b"-" && !remote && !scheme).then_some(word)
}

fn option(syntax: &Syntax, word: &str) -> Word {
    if word.starts_with("--") {
        let (name, with_value) = match word.split_once('=') {
            Some((name, _)) => (name, true),
            None => (word, false),
        };
        return match () {
            () if syntax.none_long.contains(&name) => Word::NoScript,
            () if !with_value && syntax.value_long.contains(&name) => Word::Takes(1),
            () => Word::Alone,
        };
    }
    let mut own_words = 0;
    let mut letters = word.chars().skip(1);
    while let Some(letter) = letters.next() {
        if syntax.none_short.contains(letter) {
            return Word::NoScript;
        }
        if syntax.word_short.contains(letter) {
            own_words += 1;
        }
        if syntax.rest_short.contains(letter) {
            return Word::Alone;
        }
        if syntax.value_short.contains(letter) {
            return if letters.next().is_some() { Word::Alone } else { Word::Takes(1) };
        }
    }
    if own_words == 0 { Word::Alone } else { Word::Takes(own_words) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(line: &str, want: Option<&str>) {
        let words: Vec<&str> = line.split(' ').collect();
        let syntax = syntax_of(Path::new(words[0])).unwrap_or_else(|| panic!("no interpreter: {line}"));
        let mut bytes = words.join("\0").into_bytes();
        bytes.push(0);
        let got = argument(syntax, &bytes).map(|word| std::str::from_utf8(word).unwrap());
        assert_eq!(got, want, "{line}");
    }

    #[test]
    fn the_script_is_found_behind_options() {
        for (line, want) in [
            ("/usr/bin/node cli.js -p x", "cli.js"),
            ("/usr/bin/node --max-old-space-size=4096 --no-warnings /a/gemini.js", "/a/gemini.js"),
            ("/usr/bin/node -r dotenv --require ./hook.js --import=x app.js", "app.js"),
            ("/usr/bin/node -rdotenv -- app.js -e", "app.js"),
            ("/usr/bin/node --env-file .env app.js", "app.js"),
            ("/usr/bin/python3.12 -u -X dev -Wignore -W error tool.py -c", "tool.py"),
            ("/usr/bin/python3 -IBs /venv/bin/aider --model x", "/venv/bin/aider"),
            ("/usr/bin/ruby3.3 -w -r json -Ilib -I ext run.rb", "run.rb"),
            ("/usr/bin/ruby -W:no-deprecated -Fx run.rb", "run.rb"),
            ("/usr/bin/perl5.36.0 -w -Ilib -I lib -MPOSIX -0777 go.pl", "go.pl"),
            ("/bin/sh ./go.sh -c", "./go.sh"),
            ("/bin/bash -eux -o pipefail +O extglob --rcfile /dev/null go.sh", "go.sh"),
            ("/bin/bash -euo pipefail go.sh", "go.sh"),
            ("/bin/dash -e go.sh", "go.sh"),
            ("/usr/bin/deno run -A --config deno.json --allow-net=a.test main.ts", "main.ts"),
            ("/usr/bin/deno run test", "test"),
            ("/usr/bin/deno main.ts", "main.ts"),
            ("/usr/bin/bun run --smol -r ./a.ts cli.ts", "cli.ts"),
            ("/usr/bin/bun cli.ts run", "cli.ts"),
        ] {
            check(line, Some(want));
        }
    }

    #[test]
    fn g5_code_and_modules_have_no_script() {
        for line in [
            "/usr/bin/node",
            "/usr/bin/node -e 1 cli.js",
            "/usr/bin/node -pe 1 cli.js",
            "/usr/bin/node --eval=1 cli.js",
            "/usr/bin/node - cli.js",
            "/usr/bin/node -r",
            "/usr/bin/node inspect cli.js",
            "/usr/bin/node --run build",
            "/usr/bin/python3 -c pass cli.py",
            "/usr/bin/python3 -m aider cli.py",
            "/usr/bin/python3 -um aider",
            "/usr/bin/python3 -Wignore",
            "/usr/bin/ruby -e 1 run.rb",
            "/usr/bin/ruby -ne 1 run.rb",
            "/usr/bin/perl -ne print go.pl",
            "/usr/bin/perl -E 1 go.pl",
            "/bin/sh -c go.sh x",
            "/bin/sh -ec go.sh",
            "/bin/bash -s go.sh",
            "/usr/bin/deno run -A https://x.test/main.ts",
            "/usr/bin/deno run npm:cowsay",
            "/usr/bin/deno eval 1",
            "/usr/bin/deno task start",
            "/usr/bin/bun x cowsay",
            "/usr/bin/bun -e 1 a.ts",
        ] {
            check(line, None);
        }
    }

    #[test]
    fn only_interpreters_have_scripts() {
        for name in ["/usr/bin/curl", "/usr/bin/nodeevil", "/usr/bin/shred", "/usr/bin/pythonista", "/opt/claude", "/"]
        {
            assert!(syntax_of(Path::new(name)).is_none(), "{name}");
        }
        for name in ["/usr/bin/python3.13t", "/usr/bin/node-22", "/usr/bin/nodejs", "/usr/bin/bun.exe"] {
            assert!(syntax_of(Path::new(name)).is_some(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(line: Vec<u8>) {
            for syntax in SYNTAXES {
                let _ = argument(syntax, &line);
            }
        }
    }
}
