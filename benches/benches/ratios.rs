//! `cargo bench -p loom-benches [-- NAME…]`

fn main() -> std::process::ExitCode {
    loom_benches::main()
}
