//! Configurations that are used.
