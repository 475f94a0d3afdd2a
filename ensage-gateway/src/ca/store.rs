//! The trust store of the machine: our certificate put there, found there, and taken away again.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

/// Certificates are a few KiB.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Digits of the certificate's digest in the name of its file: two of ours never share one.
const NAME_DIGITS: usize = 16;

/// A folder of anchors, and what makes the store of it. Paths are those of the machine, without their first slash.
struct Anchors {
    folder: &'static str,
    tool: &'static str,
    added: &'static [&'static str],
    removed: &'static [&'static str],
}

const ANCHORS: [Anchors; 3] = [
    // Debian, Ubuntu. Without --fresh a link to what was removed would stay.
    Anchors {
        folder: "usr/local/share/ca-certificates",
        tool: "usr/sbin/update-ca-certificates",
        added: &[],
        removed: &["--fresh"],
    },
    // Fedora, RHEL.
    Anchors { folder: "etc/pki/ca-trust/source/anchors", tool: "usr/bin/update-ca-trust", added: &[], removed: &[] },
    // Arch. `trust anchor` would choose a name of its own, which nobody could take away exactly.
    Anchors {
        folder: "etc/ca-certificates/trust-source/anchors",
        tool: "usr/bin/trust",
        added: &["extract-compat"],
        removed: &["extract-compat"],
    },
];

/// macOS.
const SECURITY: &str = "usr/bin/security";
const KEYCHAIN: &str = "Library/Keychains/System.keychain";

/// Why the store could not be changed or asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No store that is known.
    #[error("this machine has no trust store that ensage knows")]
    Unknown,
    /// The file system refused.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Something else has the name of our file.
    #[error("{} is not the certificate of this CA", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The store's own tool failed.
    #[error("{} failed: {said}", tool.display())]
    Tool {
        /// The tool.
        tool: PathBuf,
        /// Its last words.
        said: String,
    },
}

/// A certificate, as stores have it.
pub struct Certificate<'a> {
    /// Of its DER, in lower-case hex.
    pub sha256: &'a str,
    /// The file that others read too.
    pub path: &'a Path,
    /// Its text.
    pub pem: &'a [u8],
}

/// The trust store of a machine.
pub struct Store {
    root: PathBuf,
    kind: Kind,
}

enum Kind {
    Anchors(&'static Anchors),
    Keychain,
}

impl Store {
    /// That of this machine.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]
    pub fn of_this_machine() -> Result<Self, StoreError> {
        Self::below(Path::new("/"))
    }

    /// That of the machine whose files are below `root`.
    pub(super) fn below(root: &Path) -> Result<Self, StoreError> {
        let there = |anchors: &&Anchors| root.join(anchors.tool).is_file() && root.join(anchors.folder).is_dir();
        let kind = match ANCHORS.iter().find(there) {
            Some(anchors) => Kind::Anchors(anchors),
            None if root.join(SECURITY).is_file() && root.join(KEYCHAIN).exists() => Kind::Keychain,
            None => return Err(StoreError::Unknown),
        };
        Ok(Self { root: root.to_owned(), kind })
    }

    /// Where this certificate is or would be.
    pub fn place(&self, certificate: &Certificate<'_>) -> PathBuf {
        match &self.kind {
            Kind::Anchors(anchors) => {
                let digits = certificate.sha256.get(..NAME_DIGITS).unwrap_or(certificate.sha256);
                self.root.join(anchors.folder).join(format!("ensage-{digits}.crt"))
            }
            Kind::Keychain => self.root.join(KEYCHAIN),
        }
    }

    /// Whether it is there.
    ///
    /// # Errors
    /// The store can't be asked, or something else stands in its place.
    pub fn holds(&self, certificate: &Certificate<'_>) -> Result<bool, StoreError> {
        let path = self.place(certificate);
        match &self.kind {
            Kind::Anchors(_) => match digest_of(&path) {
                Ok(None) => Ok(false),
                Ok(Some(digest)) if digest == certificate.sha256 => Ok(true),
                Ok(Some(_)) => Err(StoreError::Foreign { path }),
                Err(source) => Err(StoreError::Io { path, source }),
            },
            Kind::Keychain => {
                let found = self.run(SECURITY, &["find-certificate", "-a", "-Z"], Some(&path))?;
                Ok(found.contains(&certificate.sha256.to_uppercase()))
            }
        }
    }

    /// Puts it there, or makes sure that the store has it.
    ///
    /// # Errors
    /// [`StoreError`]; with [`StoreError::Tool`] the certificate may be there, and not yet in force.
    pub fn put(&self, certificate: &Certificate<'_>) -> Result<(), StoreError> {
        let there = self.holds(certificate)?;
        let path = self.place(certificate);
        match &self.kind {
            Kind::Anchors(anchors) => {
                if !there {
                    write(&path, certificate.pem).map_err(|source| StoreError::Io { path, source })?;
                }
                self.run(anchors.tool, anchors.added, None).map(drop)
            }
            Kind::Keychain if there => Ok(()),
            Kind::Keychain => {
                let keychain = path.display().to_string();
                let words = ["add-trusted-cert", "-d", "-r", "trustRoot", "-k", &keychain];
                self.run(SECURITY, &words, Some(certificate.path)).map(drop)
            }
        }
    }

    /// Takes away what [`put`](Self::put) has put there, and nothing else. False where there was nothing.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn take_away(&self, certificate: &Certificate<'_>) -> Result<bool, StoreError> {
        if !self.holds(certificate)? {
            return Ok(false);
        }
        let path = self.place(certificate);
        match &self.kind {
            Kind::Anchors(anchors) => {
                fs::remove_file(&path).map_err(|source| StoreError::Io { path, source })?;
                self.run(anchors.tool, anchors.removed, None)?;
            }
            Kind::Keychain => {
                let digest = certificate.sha256.to_uppercase();
                self.run(SECURITY, &["delete-certificate", "-Z", &digest, "-t"], Some(&path))?;
            }
        }
        Ok(true)
    }

    /// What root would type to put it there; each word quoted by `quoted`.
    pub fn put_command(&self, certificate: &Certificate<'_>, quoted: impl Fn(&str) -> String) -> String {
        let (place, pem) = (quoted(&shown(&self.place(certificate))), quoted(&shown(certificate.path)));
        match &self.kind {
            Kind::Anchors(anchors) => {
                format!("sudo install -m 644 {pem} {place} && sudo {}", self.tool_command(anchors, anchors.added))
            }
            Kind::Keychain => format!("sudo /{SECURITY} add-trusted-cert -d -r trustRoot -k {place} {pem}"),
        }
    }

    /// What root would type to take it away.
    pub fn take_away_command(&self, certificate: &Certificate<'_>, quoted: impl Fn(&str) -> String) -> String {
        let place = quoted(&shown(&self.place(certificate)));
        match &self.kind {
            Kind::Anchors(anchors) => {
                format!("sudo rm {place} && sudo {}", self.tool_command(anchors, anchors.removed))
            }
            Kind::Keychain => {
                let digest = certificate.sha256.to_uppercase();
                format!("sudo /{SECURITY} delete-certificate -Z {digest} -t {place}")
            }
        }
    }

    fn tool_command(&self, anchors: &Anchors, words: &[&str]) -> String {
        let tool = shown(&self.root.join(anchors.tool));
        std::iter::once(tool.as_str()).chain(words.iter().copied()).collect::<Vec<_>>().join(" ")
    }

    /// Runs a tool of the machine by its full path, with nothing of our own environment: it runs as root.
    fn run(&self, tool: &str, words: &[&str], last: Option<&Path>) -> Result<String, StoreError> {
        let tool = self.root.join(tool);
        let mut command = Command::new(&tool);
        command.args(words).args(last).env_clear().current_dir("/").stdin(Stdio::null());
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C");
        let out = command.output().map_err(|source| StoreError::Io { path: tool.clone(), source })?;
        if out.status.success() {
            return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&out.stderr);
        let said = said.lines().last().map_or_else(|| out.status.to_string(), |line| line.escape_debug().to_string());
        Err(StoreError::Tool { tool, said })
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The digest of the one certificate in a file; empty if there is another thing in it, `None` if there is no file.
fn digest_of(path: &Path) -> io::Result<Option<String>> {
    use rustix::fs::OFlags;
    // NOFOLLOW: what a link leads to is not what was put there. NONBLOCK: a FIFO would hold us for ever.
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => return Ok(Some(String::new())),
        Err(e) => return Err(e),
    };
    let mut bytes = Vec::new();
    if file.metadata()?.is_file() {
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    }
    let mut found = CertificateDer::pem_slice_iter(&bytes);
    let digest = match (found.next(), found.next()) {
        (Some(Ok(one)), None) => Sha256::digest(&one).iter().map(|b| format!("{b:02x}")).collect(),
        _ => String::new(),
    };
    Ok(Some(digest))
}

/// Puts a file where none is, whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // No certificate's ending: tools that look at the folder meanwhile pass it by.
    let made = path.with_extension("new");
    match fs::remove_file(&made) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let mut file = File::options().write(true).create_new(true).mode(0o644).open(&made)?;
    file.write_all(bytes)?;
    // Whatever the umask: everybody is to read it.
    rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o644))?;
    file.sync_all()?;
    fs::rename(&made, path)
}
