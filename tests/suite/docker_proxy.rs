//! testkit's proxy in front of real engines, seen by a client that is not Loom's.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use libloom_testkit::{Engine, Fault, Proxy, Sandbox};

fn proxy(sandbox: &Sandbox, engine: &Engine) -> Proxy {
    let socket = format!("unix://{}", sandbox.root().join("engine.sock").display());
    Proxy::new(&socket, engine.address())
}

fn docker(sandbox: &Sandbox, proxy: &Proxy, arguments: &[&str]) -> Command {
    sandbox.use_address(proxy.address());
    let mut command = sandbox.program("docker".as_ref());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a script in a container with this standard input.
fn run(sandbox: &Sandbox, proxy: &Proxy, script: &str, input: &[u8]) -> Output {
    let arguments =
        ["run", "--rm", "-i", "--network", "none", "busybox:1.36.1", "sh", "-c", script];
    let mut child = docker(sandbox, proxy, &arguments).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Nobody reads it where the container was never made.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

on_engines!(attached_streams_pass_both_ways);
fn attached_streams_pass_both_ways(engine: &Engine) {
    let sandbox = Sandbox::new();
    let proxy = proxy(&sandbox, engine);
    let input: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let output = run(&sandbox, &proxy, "cat; echo said >&2", &input);
    assert!(output.stdout == input, "{} bytes came back", output.stdout.len());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "said\n");
    assert_eq!(proxy.count("POST", "/containers/*/start"), 1);
    assert!(proxy.disturbed().is_empty());
}

on_engines!(an_answer_in_the_engines_place_reaches_the_client);
fn an_answer_in_the_engines_place_reaches_the_client(engine: &Engine) {
    let sandbox = Sandbox::new();
    let proxy = proxy(&sandbox, engine);
    proxy.disturb("POST", "/containers/create", 1, Fault::Answer(500, "the moon is full"));
    let output = run(&sandbox, &proxy, "true", b"");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the moon is full"), "{said}");
    assert_eq!(proxy.disturbed().len(), 1);
    assert_eq!(proxy.count("POST", "/containers/*/start"), 0);
}
