//! A resolver that answers from a table and logs every name it is asked for.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A DNS server on loopback. Names that it does not know do not exist.
pub struct Dns {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// One list of addresses for each answer in turn; the last one stays.
    answers: HashMap<String, Vec<Vec<IpAddr>>>,
    asked: Vec<String>,
    over: bool,
}

impl Dns {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = state.clone();
        thread::spawn(move || serve(&socket, &shared));
        Self { address, state }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Each query for an address of `name` is answered with the next list; the last one stays.
    pub fn answer(&self, name: &str, turns: &[&[&str]]) {
        let turns = turns.iter().map(|ips| ips.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
        lock(&self.state).answers.insert(name.to_ascii_lowercase(), turns);
    }

    /// Every name that was asked for, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        lock(&self.state).asked.clone()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        lock(&self.state).over = true;
        if let Ok(socket) = UdpSocket::bind("127.0.0.1:0") {
            let _ = socket.send_to(&[0], self.address);
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

const A: u16 = 1;
const AAAA: u16 = 28;

fn serve(socket: &UdpSocket, state: &Mutex<State>) {
    let mut packet = [0; 1500];
    while let Ok((length, from)) = socket.recv_from(&mut packet) {
        let mut state = lock(state);
        if state.over {
            return;
        }
        if let Some(answer) = answer(&packet[..length], &mut state) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// Answers one question (RFC 1035 section 4).
fn answer(query: &[u8], state: &mut State) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut labels: Vec<String> = Vec::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(query.get(at..at + 2)?.try_into().ok()?);
    let question = query.get(12..at + 4)?;
    let name = labels.join(".");
    state.asked.push(name.clone());
    let known = state.answers.contains_key(&name);
    let addresses = addresses(state, &name, kind);
    let mut out = query.get(..2)?.to_vec();
    out.extend_from_slice(&if known { [0x81, 0x80] } else { [0x81, 0x83] });
    for count in [1, u16::try_from(addresses.len()).ok()?, 0, 0] {
        out.extend_from_slice(&count.to_be_bytes());
    }
    out.extend_from_slice(question);
    for ip in addresses {
        let bytes = match ip {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 0]); // IN, time to live 0
        out.extend_from_slice(&u16::try_from(bytes.len()).ok()?.to_be_bytes());
        out.extend_from_slice(&bytes);
    }
    Some(out)
}

/// The addresses of this kind in the answer whose turn it is; a query for A takes the turn.
fn addresses(state: &mut State, name: &str, kind: u16) -> Vec<IpAddr> {
    let Some(turns) = state.answers.get_mut(name) else { return Vec::new() };
    let now = turns.first().cloned().unwrap_or_default();
    if kind == A && turns.len() > 1 {
        turns.remove(0);
    }
    now.into_iter().filter(|ip| matches!((ip, kind), (IpAddr::V4(_), A) | (IpAddr::V6(_), AAAA))).collect()
}
