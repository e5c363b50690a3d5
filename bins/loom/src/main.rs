//! `loom`; see the library.

fn main() -> std::process::ExitCode {
    libloom_entry::main_completing(loom::run, loom::completions)
}
