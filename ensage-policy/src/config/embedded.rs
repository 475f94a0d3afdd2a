//! The configuration that counts where there is no file: records everything, breaks nothing.

use std::path::PathBuf;
use std::sync::Arc;

use super::walk::Origin;
use super::{Env, read};
use crate::model::{Policy, Scheme};

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

/// The policy of [`EMBEDDED`]: one enclave `default` for any agent, any host over http and https, observe mode.
///
/// Its rules have line 0.
pub fn embedded() -> Policy {
    let env = Env { cwd: PathBuf::from("/"), ..Env::default() };
    let loaded = read(EMBEDDED, None, &env, Origin::Embedded);
    #[expect(clippy::expect_used, reason = "EMBEDDED is a constant, and `embedded_default_is_a_policy` loads it")]
    let mut policy = loaded.policy.expect("the embedded default is a policy");
    for enclave in &mut policy.enclaves {
        for rule in &mut Arc::make_mut(enclave).http {
            rule.schemes = vec![Scheme::Http, Scheme::Https];
        }
    }
    policy
}
