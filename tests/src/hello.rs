//! A ClientHello by hand, for what no TLS library would send.

/// One TLS record with a ClientHello that names `sni` in one `server_name` extension; no extension for an empty list.
/// Good enough for a server to read, not to finish a handshake with.
#[must_use]
pub fn client_hello(sni: &[&[u8]]) -> Vec<u8> {
    let mut extensions = Vec::new();
    if !sni.is_empty() {
        let mut names = Vec::new();
        for name in sni {
            names.push(0); // host_name
            names.extend_from_slice(&with_length16(name));
        }
        extension(&mut extensions, 0x0000, &with_length16(&names));
    }
    extension(&mut extensions, 0x000a, &with_length16(&[0x00, 0x1d, 0x00, 0x17])); // x25519, secp256r1
    extension(&mut extensions, 0x000d, &with_length16(&[0x04, 0x03, 0x08, 0x04, 0x04, 0x01])); // ecdsa, rsa_pss, rsa
    extension(&mut extensions, 0x000b, &[1, 0]); // uncompressed points
    let mut body = vec![0x03, 0x03];
    body.extend_from_slice(&[0x5a; 32]); // random
    body.push(0); // no session id
    body.extend_from_slice(&with_length16(&[0xc0, 0x2b, 0xc0, 0x2f])); // ECDHE with AES-128-GCM
    body.extend_from_slice(&[1, 0]); // no compression
    body.extend_from_slice(&with_length16(&extensions));
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let mut handshake = vec![1];
    handshake.extend_from_slice(&length[1..]);
    handshake.extend_from_slice(&body);
    let mut record = vec![0x16, 0x03, 0x01];
    record.extend_from_slice(&with_length16(&handshake));
    record
}

fn extension(all: &mut Vec<u8>, kind: u16, body: &[u8]) {
    all.extend_from_slice(&kind.to_be_bytes());
    all.extend_from_slice(&with_length16(body));
}

fn with_length16(bytes: &[u8]) -> Vec<u8> {
    let mut all = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    all.extend_from_slice(bytes);
    all
}
