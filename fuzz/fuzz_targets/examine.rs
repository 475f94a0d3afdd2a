//! No request head and no body makes the search for placeholders panic, and no chunking makes a difference.
#![no_main]

use std::time::UNIX_EPOCH;

use ensage_creds::{AgentPlaceholder, BodySearch, HostFit, PathFit, Placeholders, Site, Slot, Who, examine, mask_json};
use libfuzzer_sys::fuzz_target;

const WHO: Who<'static> = Who { session: [1; 16], enclave: "e", agent: "a" };

const TOKEN: &str = "ens_0123456789ABCDEFGHIJab";

fuzz_target!(|data: &[u8]| {
    let table = Placeholders::new();
    table.sync_agents(&[AgentPlaceholder {
        placeholder: TOKEN.to_owned(),
        credential: "c".to_owned(),
        enclave: "e".to_owned(),
        agent: "a".to_owned(),
        expires_us: 1,
    }]);
    // The input's own bytes with the placeholder for each `P`.
    let data: Vec<u8> = data
        .iter()
        .flat_map(|b| if *b == b'P' { TOKEN.as_bytes() } else { std::slice::from_ref(b) })
        .copied()
        .collect();
    let data = data.as_slice();
    let half = data.len() / 2;
    let (first, second) = data.split_at(half);
    let target = std::str::from_utf8(first).unwrap_or("/");
    let head = http::Request::builder()
        .uri(target)
        .header("authorization", first)
        .header("cookie", second)
        .header("authorization", second)
        .body(());
    if let Ok(request) = head {
        let slots = [Slot::Bearer];
        let site = Site { name: "c", slots: &slots, host: HostFit::Bound, path: PathFit::Covered };
        let (parts, ()) = request.into_parts();
        let _ = examine(&parts, &WHO, &[site], &table, UNIX_EPOCH);
    }

    let mut search = BodySearch::new();
    let whole = search.feed(data, &WHO, &table, UNIX_EPOCH).is_some();
    let mut search = BodySearch::new();
    let found = data.chunks(1).filter(|byte| search.feed(byte, &WHO, &table, UNIX_EPOCH).is_some()).count();
    assert_eq!(whole, found > 0);

    let mut body = data.to_vec();
    match mask_json(&mut body, &WHO, &table, UNIX_EPOCH) {
        Ok(masked) => {
            assert_eq!(masked.count > 0, body != data);
            assert_eq!(body.len(), data.len());
            assert!(BodySearch::new().feed(&body, &WHO, &table, UNIX_EPOCH).is_none(), "one is left");
        }
        Err(_) => assert_eq!(body, data, "nothing is overwritten where something is refused"),
    }
});
