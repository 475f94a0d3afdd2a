//! The merged CA bundle that programs behind the gateway trust: the user's own roots and ours, never ours alone.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

/// One certificate as PEM (RFC 7468).
fn pem(der: &[u8], out: &mut String) {
    out.push_str("-----BEGIN CERTIFICATE-----\n");
    let text = STANDARD.encode(der);
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
}

/// Writes system roots, `configured`, what `inherited` files hold, and our CA into one file of `folder`, by rename.
///
/// The file's name is a digest of its content: sessions that inherited other bundles get another file, and none is
/// changed under a program that reads it.
///
/// # Errors
/// If the folder cannot be written.
pub(crate) fn write(
    folder: &Path,
    configured: &[CertificateDer<'_>],
    inherited: &[PathBuf],
    own: &[u8],
) -> std::io::Result<PathBuf> {
    let mut seen = HashSet::new();
    let mut text = String::new();
    let mut add = |der: &[u8]| {
        if seen.insert(der.to_vec()) {
            pem(der, &mut text);
        }
    };
    for c in rustls_native_certs::load_native_certs().certs {
        add(&c);
    }
    for c in configured {
        add(c);
    }
    for path in inherited {
        // A variable that names no readable bundle has no certificates to lose.
        for file in files(path) {
            let Ok(all) = CertificateDer::pem_file_iter(file) else { continue };
            for c in all.flatten() {
                add(&c);
            }
        }
    }
    add(own);
    let digest: String = Sha256::digest(text.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect();
    place(folder, &format!("bundle-{digest}.pem"), text.as_bytes())
}

/// Most files of one folder that are looked at: a distribution has some hundred roots, each by two names.
const FILES_MAX: usize = 4096;

/// A bundle, or the files of a folder of such (`SSL_CERT_DIR`).
fn files(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let mut all: Vec<PathBuf> =
        fs::read_dir(path).into_iter().flatten().flatten().take(FILES_MAX).map(|entry| entry.path()).collect();
    all.retain(|file| file.is_file());
    // The same folder makes the same bundle.
    all.sort();
    all
}

/// A `wgetrc` of the user's own lines, our proxy and our bundle: wget has no variable for the one, and takes the other
/// from a user's file before the variable.
///
/// # Errors
/// If the folder cannot be written.
pub(crate) fn wgetrc(folder: &Path, users: Option<&Path>, proxy: &str, bundle: &Path) -> std::io::Result<PathBuf> {
    let mut text = users.and_then(|p| fs::read_to_string(p).ok()).unwrap_or_default();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for name in ["http_proxy", "https_proxy"] {
        text.push_str(&format!("{name} = {proxy}\n"));
    }
    text.push_str("use_proxy = on\nno_proxy =\ncheck_certificate = on\n");
    text.push_str(&format!("ca_certificate = {}\n", bundle.display()));
    let digest: String = Sha256::digest(text.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect();
    place(folder, &format!("wgetrc-{digest}"), text.as_bytes())
}

fn place(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<PathBuf> {
    let path = folder.join(name);
    if path.is_file() {
        return Ok(path);
    }
    fs::create_dir_all(folder)?;
    let temporary = folder.join(format!(".{name}.{}", uuid::Uuid::now_v7()));
    let mut file = fs::File::create_new(&temporary)?;
    file.write_all(bytes)?;
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    fs::rename(&temporary, &path)?;
    Ok(path)
}
