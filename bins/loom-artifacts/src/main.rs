//! `loom-artifacts`; see the library.

fn main() -> std::process::ExitCode {
    libloom_entry::main(loom_artifacts::run)
}
