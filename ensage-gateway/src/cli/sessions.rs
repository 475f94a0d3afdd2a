//! `sessions list|end`.

use serde_json::Value;

use super::args::{Global, Sessions};
use super::daemon::{ask, not_from_session};
use super::output::{Failure, Output, table};
use super::place;
use super::text::{at, count};

pub(crate) fn sessions(global: &Global, output: Output, command: &Sessions) -> Result<u8, Failure> {
    let state = place::find(global)?.state;
    not_from_session(&state)?;
    match command {
        Sessions::List => {
            let mut body = ask(&state, "GET", "/v1/sessions", None)?;
            for session in body.pointer_mut("/sessions").and_then(Value::as_array_mut).into_iter().flatten() {
                session.as_object_mut().and_then(|members| members.remove("run"));
            }
            output.document("sessions_list", body, listed)?;
        }
        Sessions::End { id, .. } => {
            let id = id.as_deref().unwrap_or("all");
            let body = ask(&state, "POST", &format!("/v1/sessions/{id}/end"), None)?;
            output.document("sessions_end", body, |b| format!("{} ended\n", count(b, "/ended")))?;
        }
    }
    Ok(0)
}

fn listed(body: &Value) -> String {
    let rows: Vec<Vec<String>> = body
        .pointer("/sessions")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .map(|s| {
            ["/id", "/enclave", "/agent", "/mode", "/tier", "/process/pid", "/state", "/allowed", "/denied"]
                .iter()
                .map(|p| at(s, p))
                .collect()
        })
        .collect();
    table(&["session", "enclave", "agent", "mode", "tier", "pid", "state", "allowed", "denied"], &rows)
}
