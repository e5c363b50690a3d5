//! `loom-shell`; see the library.

fn main() -> std::process::ExitCode {
    libloom_entry::main(loom_shell::run)
}
