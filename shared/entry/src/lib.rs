//! The one `main` of every command.
