//! Asking the kernel for sockets: sock_diag(7) over netlink(7).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    sync::{Mutex, PoisonError},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
        netlink::{SOCK_DIAG, SocketAddrNetlink},
        recvfrom, sendto, socket_with,
    },
};

use super::Unknown;

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const TCP: u8 = 6;
/// `INET_DIAG_CGROUP_ID` of `linux/inet_diag.h`.
const CGROUP_ID: u16 = 21;
const HEADER_BYTES: usize = 16;
/// `struct inet_diag_req_v2`.
const REQUEST_BYTES: usize = 56;
/// `struct inet_diag_msg`, before its attributes.
const MESSAGE_BYTES: usize = 72;
/// The kernel answers within the sendto(2); this only ends a wait that can't be.
const ANSWER_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// Answers to earlier questions that may still lie there.
const STALE_MAX: usize = 16;
/// No machine has more TCP sockets than this; it only bounds the loop.
const SOCKETS_MAX: usize = 4_000_000;
/// `TCP_LISTEN` of `net/tcp_states.h`.
pub(crate) const LISTEN: u8 = 10;
/// `TCP_ESTABLISHED`.
pub(crate) const ESTABLISHED: u8 = 1;

/// What the kernel says of one socket. Addresses are canonical: no v4-mapped ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) state: u8,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) uid: u32,
    pub(crate) inode: u32,
    pub(crate) cookie: u64,
    pub(crate) cgroup: Option<u64>,
}

/// One netlink socket, used again and again: a new one for each question costs three times as much.
#[derive(Debug)]
pub(super) struct Diag {
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    socket: OwnedFd,
    sequence: u32,
}

/// One message from the kernel.
#[derive(Debug, PartialEq, Eq)]
enum Message {
    Entry(Entry),
    Done,
    /// An errno, positive.
    Error(i32),
    /// An answer to another question, or of a kind that was not asked for.
    Foreign,
}

impl Diag {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { line: Mutex::new(Line::open()?) })
    }

    /// The socket whose own address is `client` and whose peer is `local`.
    pub(super) fn exact(&self, client: SocketAddr, local: SocketAddr) -> Result<Entry, Unknown> {
        let (client, local) = (canonical(client), canonical(local));
        if client.is_ipv4() != local.is_ipv4() {
            return Err(Unknown::NoSocket);
        }
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = line.ask(NLM_F_REQUEST, family_of(&client), Some((&client, &local)))?;
        let mut buffer = [0_u8; 4096];
        for _ in 0..STALE_MAX {
            let answer = line.receive(&mut buffer)?;
            match next(answer, sequence).0 {
                // Without a connection of these two addresses the kernel answers with a listener on the first, or
                // with whatever it deems near: only the very pair counts.
                Message::Entry(entry) if same(&entry.local, &client) && same(&entry.remote, &local) => {
                    return Ok(entry);
                }
                Message::Entry(_) | Message::Error(libc::ENOENT) => return Err(Unknown::NoSocket),
                Message::Error(errno) => return Err(Unknown::Kernel(io::Error::from_raw_os_error(errno))),
                Message::Done | Message::Foreign => {}
            }
        }
        Err(Unknown::Kernel(io::ErrorKind::InvalidData.into()))
    }
}

/// All TCP sockets of this network namespace but those that are closing.
pub(crate) fn dump() -> Result<Vec<Entry>, Unknown> {
    let mut all = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut line = Line::open().map_err(Unknown::Kernel)?;
        let sequence = line.ask(NLM_F_REQUEST | NLM_F_DUMP, u8::try_from(family).unwrap_or(0), None)?;
        let mut buffer = vec![0_u8; 64 * 1024];
        'answers: loop {
            let mut answer = line.receive(&mut buffer)?;
            while !answer.is_empty() {
                let (message, rest) = next(answer, sequence);
                answer = rest;
                match message {
                    Message::Entry(entry) if all.len() < SOCKETS_MAX => all.push(entry),
                    Message::Entry(_) | Message::Done => break 'answers,
                    // A kernel without IPv6.
                    Message::Error(libc::ENOENT) => break 'answers,
                    Message::Error(errno) => return Err(Unknown::Kernel(io::Error::from_raw_os_error(errno))),
                    Message::Foreign => {}
                }
            }
        }
    }
    Ok(all)
}

impl Line {
    fn open() -> io::Result<Self> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
        Ok(Self { socket, sequence: 0 })
    }

    fn ask(&mut self, flags: u16, family: u8, pair: Option<(&SocketAddr, &SocketAddr)>) -> Result<u32, Unknown> {
        self.sequence = self.sequence.wrapping_add(1);
        let question = encode(flags, self.sequence, family, pair);
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&self.socket, &question, SendFlags::empty(), &kernel).map_err(|err| Unknown::Kernel(err.into()))?;
        Ok(self.sequence)
    }

    /// One datagram from the kernel itself: any process may send to a netlink socket.
    fn receive<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], Unknown> {
        let failed = |err: rustix::io::Errno| Unknown::Kernel(err.into());
        for _ in 0..STALE_MAX {
            match recvfrom(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((read, _, from)) => {
                    let from = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
                    if from.is_some_and(|from| from.pid() == 0) {
                        return Ok(buffer.get(..read).unwrap_or_default());
                    }
                }
                Err(rustix::io::Errno::AGAIN) => {
                    let mut wanted = [PollFd::new(&self.socket, PollFlags::IN)];
                    if poll(&mut wanted, Some(&ANSWER_WAIT)).map_err(failed)? == 0 {
                        return Err(Unknown::Kernel(io::ErrorKind::TimedOut.into()));
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(err) => return Err(failed(err)),
            }
        }
        Err(Unknown::Kernel(io::ErrorKind::InvalidData.into()))
    }
}

fn encode(flags: u16, sequence: u32, family: u8, pair: Option<(&SocketAddr, &SocketAddr)>) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + REQUEST_BYTES).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(HEADER_BYTES + REQUEST_BYTES);
    out.extend(length.to_ne_bytes());
    out.extend(BY_FAMILY.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend(0_u32.to_ne_bytes());
    // family, protocol, extensions, padding, states.
    out.extend([family, TCP, 0, 0]);
    out.extend(u32::MAX.to_ne_bytes());
    let (ports, addresses, interface) = match pair {
        Some((own, peer)) => {
            let interface = match own {
                SocketAddr::V6(own) => own.scope_id(),
                SocketAddr::V4(_) => 0,
            };
            ([own.port(), peer.port()], [octets(own.ip()), octets(peer.ip())], interface)
        }
        None => ([0, 0], [[0; 16]; 2], 0),
    };
    out.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
    out.extend(addresses.iter().flatten());
    out.extend(interface.to_ne_bytes());
    // INET_DIAG_NOCOOKIE, twice.
    out.extend(u64::MAX.to_ne_bytes());
    out
}

/// Cuts the first message off. A datagram that can't be cut further is used up.
fn next(datagram: &[u8], sequence: u32) -> (Message, &[u8]) {
    let used_up = (Message::Foreign, &[][..]);
    let Some(length) = ne_u32(datagram, 0).and_then(|length| usize::try_from(length).ok()) else { return used_up };
    if length < HEADER_BYTES {
        return used_up;
    }
    let Some(message) = datagram.get(..length) else { return used_up };
    let rest = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    if ne_u32(message, 8) != Some(sequence) {
        return (Message::Foreign, rest);
    }
    let body = message.get(HEADER_BYTES..).unwrap_or_default();
    let decoded = match ne_u16(message, 4) {
        Some(NLMSG_DONE) => Some(Message::Done),
        Some(NLMSG_ERROR) => ne_u32(body, 0).map(|errno| Message::Error(errno.cast_signed().wrapping_neg())),
        Some(BY_FAMILY) => entry(body).map(Message::Entry),
        _ => None,
    };
    (decoded.unwrap_or(Message::Foreign), rest)
}

/// `struct inet_diag_msg`: family, state, timer, retrans; then the id (ports, addresses, interface, cookie),
/// expires, rqueue, wqueue, uid, inode; then attributes.
fn entry(body: &[u8]) -> Option<Entry> {
    let family = i32::from(*body.first()?);
    let state = *body.get(1)?;
    let scope = ne_u32(body, 40)?;
    let address = |port_at: usize, ip_at: usize| -> Option<SocketAddr> {
        let port = u16::from_be_bytes(array(body, port_at)?);
        let ip: [u8; 16] = array(body, ip_at)?;
        match family {
            libc::AF_INET => Some(SocketAddr::from((Ipv4Addr::from(array::<4>(&ip, 0)?), port))),
            libc::AF_INET6 => {
                let v6 = std::net::SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope);
                Some(canonical(SocketAddr::V6(v6)))
            }
            _ => None,
        }
    };
    let (local, remote) = (address(4, 8)?, address(6, 24)?);
    let cookie = u64::from(ne_u32(body, 44)?) | u64::from(ne_u32(body, 48)?) << 32;
    let (uid, inode) = (ne_u32(body, 64)?, ne_u32(body, 68)?);
    let cgroup = attribute(body.get(MESSAGE_BYTES..)?, CGROUP_ID).and_then(|value| {
        let id = u64::from_ne_bytes(array(value, 0)?);
        (id != 0).then_some(id)
    });
    Some(Entry { state, local, remote, uid, inode, cookie, cgroup })
}

fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    // Each round takes at least the four bytes of a header.
    loop {
        let length = usize::from(ne_u16(attributes, 0)?);
        let kind = ne_u16(attributes, 2)?;
        if length < 4 {
            return None;
        }
        if kind == wanted {
            return attributes.get(4..length);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn family_of(address: &SocketAddr) -> u8 {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    u8::try_from(family).unwrap_or(0)
}

/// A v4-mapped address and its IPv4 twin are one address.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, address.port())),
        IpAddr::V6(_) => address,
    }
}

/// Flow labels and scopes aside, which the two sides may know differently.
fn same(a: &SocketAddr, b: &SocketAddr) -> bool {
    a.ip() == b.ip() && a.port() == b.port()
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn ne_u16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_ne_bytes)
}

fn ne_u32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests;
