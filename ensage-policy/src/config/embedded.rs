//! The configuration that counts where there is no file: records everything, breaks nothing.

use std::path::PathBuf;
use std::sync::Arc;

use super::walk::Origin;
use super::{Env, Loaded, read};
use crate::model::Scheme;

/// The embedded default. One thing in it can't be said in a file: that a rule counts for http and https.
pub const EMBEDDED: &str = r#"# ensage's embedded default: every call goes on and is recorded.
[gateway]
listen = "127.0.0.1:0"
mode = "observe"
unattributed = "default"

[upstream]
# Loopback and private networks (RFC 1122, 1918, 4193, 6598) are open; link-local addresses, and with them the
# metadata services of clouds, stay closed.
private_addresses = [
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7",
    # Documentation, benchmarking and reserved ranges: some networks answer public names with them, and observing
    # breaks nothing.
    "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "2001:db8::/32",
]

[enclave.default]
agents = ["*"]

[[enclave.default.http]]
host = "*:*"
websocket = true
mcp = "allow"
"#;

/// The policy of [`EMBEDDED`]: one enclave `default` for any agent, any host over http and https, observe mode. Of the
/// surroundings only the proxy counts.
///
/// Its rules have line 0, and it never has errors.
pub fn embedded(env: &Env) -> Loaded {
    let env = Env { cwd: PathBuf::from("/"), proxy: env.proxy.clone(), ..Env::default() };
    let mut loaded = read(EMBEDDED, None, &env, Origin::Embedded);
    for enclave in loaded.policy.iter_mut().flat_map(|policy| &mut policy.enclaves) {
        for rule in &mut Arc::make_mut(enclave).http {
            rule.schemes = vec![Scheme::Http, Scheme::Https];
        }
    }
    loaded
}
