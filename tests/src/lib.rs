//! The rig of the end-to-end tests: origins that record what they get, a resolver that logs, raw clients.
