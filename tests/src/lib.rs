//! End-to-end tests live in `suite/`; this library is empty.
