//! What `run` says when its program has ended.

use std::path::Path;

use ensage_audit::query::Summary;

use super::output::Output;
use super::text::count;
use crate::admin::client;

/// What a run without a call may mean. Node.js: `NODE_USE_ENV_PROXY`, <https://nodejs.org/api/cli.html>.
const UNSEEN: &str = "no call was seen: if the program did use the network, it does not heed its proxy variables \
                      (Node.js does from 22.21 and 24.5 on, the `ws` package never)";

/// What became of the calls of a session, with the `reasons` of the refused ones where these are asked for.
pub(super) fn counted(state: &Path, session: &str, reasons: bool) -> Option<Summary> {
    let audit = state.join("audit");
    let recorded = || {
        // Its records are there when the gateway has gone. A log that somebody took away is not one without calls.
        let id = uuid::Uuid::parse_str(session).ok().filter(|_| audit.is_dir())?;
        ensage_audit::query::summary(&audit, id).ok()
    };
    let told = client::ask(state, "GET", &format!("/v1/sessions/{session}"), None).ok();
    let counts = told.map(|c| {
        let [allowed, denied, certificate_refusals] =
            ["/allowed", "/denied", "/certificate_refusals"].map(|what| count(&c, what));
        Summary { allowed, denied, certificate_refusals, ..Summary::default() }
    });
    match (counts, reasons) {
        (None, _) => recorded(),
        (Some(counts), false) => Some(counts),
        (Some(Summary { allowed, denied, certificate_refusals, .. }), true) => {
            Some(Summary { allowed, denied, certificate_refusals, ..recorded()? })
        }
    }
}

/// What a person should know of it besides the counts.
pub(super) fn hints(output: Output, counted: Option<&Summary>) {
    let Some(counted) = counted else { return };
    if (counted.allowed, counted.denied) == (0, 0) {
        output.say(UNSEEN);
    }
    if counted.certificate_refusals > 0 {
        output.say(&format!(
            "{} connections came to nothing because a program refuses the gateway's certificate: `ensage audit` shows to \
             which hosts. A program that takes no CA from its environment needs `ensage ca install`; one with a pinned \
             certificate needs its host in `tunnel`",
            counted.certificate_refusals
        ));
    }
}

/// The last line on stderr, which scripts read.
pub(super) fn last_line(output: Output, counted: &Summary, session: &str) {
    output.say(&format!("{} allowed, {} denied, session {session}", counted.allowed, counted.denied));
}
