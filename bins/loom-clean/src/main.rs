//! `loom-clean`; see the library.

fn main() -> std::process::ExitCode {
    libloom_entry::main(loom_clean::run)
}
