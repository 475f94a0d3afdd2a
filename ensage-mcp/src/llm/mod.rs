//! Calls to LLM providers and what they answer.
