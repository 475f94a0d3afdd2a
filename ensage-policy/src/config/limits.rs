//! `[limits]`: every bound of the gateway, with its default and its ceiling.

use std::time::Duration;

use super::values::Bounds;
use super::walk::{Table, Walk};
use crate::model::Limits;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const MINUTE: Duration = Duration::from_secs(60);
/// A wait longer than a day is none.
const WAIT_MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// The limits that count where the file says nothing (contract section 2).
pub(super) const DEFAULT: Limits = Limits {
    // A tool call with a file in it fits; 64 of them fit into `held_total`.
    body_hold: 4 * MIB,
    held_total: 256 * MIB,
    // 16 times what is held uncoded.
    decoded: 64 * MIB,
    // Cookies and tokens of real clients stay under 16 KiB.
    header: 64 * KIB,
    target: 16 * KIB,
    header_lines: 128,
    // Two descriptors each: within what a service is usually given.
    connections: 10_000,
    per_client: 1024,
    streams: 256,
    head_timeout: Duration::from_secs(10),
    dial_timeout: Duration::from_secs(10),
    // A model may think for minutes before its first byte.
    upstream_head_timeout: Duration::from_secs(10 * MINUTE.as_secs()),
    idle_timeout: Duration::from_secs(5 * MINUTE.as_secs()),
};

/// Reads the table; what it leaves out has its default.
pub(super) fn read(mut table: Table<'_>, walk: &mut Walk<'_>) -> Limits {
    let size = |walk: &mut Walk<'_>, table: &mut Table<'_>, key, default, most| {
        let item = table.item(key);
        item.and_then(|item| item.size(walk, Bounds { least: 1, most })).unwrap_or(default)
    };
    let count = |walk: &mut Walk<'_>, table: &mut Table<'_>, key, default, most| {
        let item = table.item(key);
        item.and_then(|item| item.integer(walk, Bounds { least: 1, most })).unwrap_or(default)
    };
    let wait = |walk: &mut Walk<'_>, table: &mut Table<'_>, key, default| {
        let bounds = Bounds { least: Duration::from_millis(1), most: WAIT_MOST };
        table.item(key).and_then(|item| item.duration(walk, bounds)).unwrap_or(default)
    };
    let t = &mut table;
    let limits = Limits {
        // Ceilings: what a machine of today could hold without harm to anything else.
        body_hold: size(walk, t, "body_hold", DEFAULT.body_hold, GIB),
        held_total: size(walk, t, "held_total", DEFAULT.held_total, 64 * GIB),
        decoded: size(walk, t, "decoded", DEFAULT.decoded, GIB),
        // A head is held whole for each connection.
        header: size(walk, t, "header", DEFAULT.header, MIB),
        target: size(walk, t, "target", DEFAULT.target, MIB),
        header_lines: count(walk, t, "header_lines", DEFAULT.header_lines, 10_000),
        connections: count(walk, t, "connections", DEFAULT.connections, 1_000_000),
        per_client: count(walk, t, "per_client", DEFAULT.per_client, 1_000_000),
        streams: count(walk, t, "streams", DEFAULT.streams, 65_536),
        head_timeout: wait(walk, t, "head_timeout", DEFAULT.head_timeout),
        dial_timeout: wait(walk, t, "dial_timeout", DEFAULT.dial_timeout),
        upstream_head_timeout: wait(walk, t, "upstream_head_timeout", DEFAULT.upstream_head_timeout),
        idle_timeout: wait(walk, t, "idle_timeout", DEFAULT.idle_timeout),
    };
    table.close(walk);
    limits
}
