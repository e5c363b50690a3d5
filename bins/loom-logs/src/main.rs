//! `loom-logs`; see the library.

fn main() -> std::process::ExitCode {
    libloom_entry::main(loom_logs::run)
}
