//! The lists of revoked certificates that `upstream.crl` names.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ensage_policy::Policy;
use ensage_policy::config::{Diagnostic, Kind, Loaded};
use ensage_policy::model::Crl;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use webpki::OwnedCertRevocationList;

/// The largest lists of public CAs have a few MiB; a file holds several.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// The file system refused.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// It is no file that ends.
    #[error("it is not a file, or longer than 64 MiB")]
    Kind,
    /// What is in it is damaged.
    #[error("its PEM is damaged")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// There is no list in it.
    #[error("it holds no X509 CRL in PEM")]
    Empty,
    /// A list is not one that can be held against certificates.
    #[error("one of its lists can't be used")]
    List(#[source] webpki::Error),
}

/// Every list of a policy.
///
/// # Errors
/// The first file that can't be used, and why.
pub(super) fn lists(policy: &Policy) -> Result<Vec<CertificateRevocationListDer<'static>>, (String, CrlError)> {
    let mut all = Vec::new();
    for crl in &policy.upstream.crl {
        all.extend(read(&crl.path).map_err(|error| (crl.path.display().to_string(), error))?);
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, CrlError> {
    // NONBLOCK, or a FIFO would hold us for ever.
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = File::options().read(true).custom_flags(nonblock).open(path).map_err(CrlError::Read)?;
    let meta = file.metadata().map_err(CrlError::Read)?;
    if !meta.is_file() || meta.len() > FILE_BYTES_MAX {
        return Err(CrlError::Kind);
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(CrlError::Read)?;
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    let lists = lists.map_err(CrlError::Pem)?;
    if lists.is_empty() {
        return Err(CrlError::Empty);
    }
    for list in &lists {
        OwnedCertRevocationList::from_der(list).map_err(CrlError::List)?;
    }
    Ok(lists)
}

/// A configuration with its files looked at: one that can't be used is an error at its place.
pub(crate) fn checked(mut loaded: Loaded) -> Loaded {
    let Some(policy) = &loaded.policy else { return loaded };
    let now = OffsetDateTime::now_utc();
    for crl in &policy.upstream.crl {
        // Nothing that a terminal would obey.
        let path = crl.path.display().to_string().escape_debug().to_string();
        match read(&crl.path) {
            Err(error) => {
                let message = format!("{path} can't be used: {}", crate::telemetry::chain(&error));
                let help = "name a file with lists of revoked certificates in PEM, or take it out";
                loaded.errors.push(found(Kind::Error, policy, crl, "bad_value", message, help));
            }
            Ok(lists) if lists.iter().any(|list| is_due(list, now)) => {
                let message = format!("{path} holds a list whose next one was due before now");
                let help = "fetch the newer one: what this one revokes stays revoked, but nothing newer is";
                loaded.warnings.push(found(Kind::Warning, policy, crl, "no_effect", message, help));
            }
            Ok(_) => {}
        }
    }
    loaded.warnings.sort_by_key(|w| (w.line, w.column));
    if !loaded.errors.is_empty() {
        loaded.policy = None;
    }
    loaded
}

fn is_due(list: &CertificateRevocationListDer<'_>, now: OffsetDateTime) -> bool {
    let next = x509_parser::parse_x509_crl(list).ok().and_then(|(_, list)| list.next_update());
    next.is_some_and(|next| next.to_datetime() < now)
}

fn found(kind: Kind, policy: &Policy, crl: &Crl, code: &'static str, message: String, help: &str) -> Diagnostic {
    Diagnostic {
        kind,
        code,
        file: policy.file.as_deref().unwrap_or(Path::new("")).display().to_string(),
        line: crl.line,
        column: crl.column,
        key: crl.key.to_string(),
        message,
        help: help.to_owned(),
    }
}
