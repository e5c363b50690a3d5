use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::*;
use crate::wait_until;

/// Answers every request with a head and these bytes, and closes; returns its address.
fn engine(body: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            thread::spawn(move || {
                let mut seen = Vec::new();
                while !seen.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    client.read_exact(&mut byte).unwrap();
                    seen.extend(byte);
                }
                let seen = String::from_utf8(seen).unwrap();
                assert!(seen.contains("Connection: close") || seen.contains("Upgrade"), "{seen}");
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                client.write_all(body).unwrap();
            });
        }
    });
    address
}

fn proxy(body: &'static [u8]) -> Proxy {
    Proxy::new("tcp://127.0.0.1:0", &engine(body))
}

fn request(proxy: &Proxy, head: &str) -> TcpStream {
    let address = proxy.address().strip_prefix("tcp://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
        .write_all(format!("{head}\r\nHost: x\r\nConnection: keep-alive\r\n\r\n").as_bytes())
        .unwrap();
    stream
}

/// What comes until the connection ends, however it ends.
fn answer_to(proxy: &Proxy, head: &str) -> String {
    let mut text = Vec::new();
    let _ = request(proxy, head).read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

const START: &str = "POST /v1.41/containers/4f/start HTTP/1.1";
const HEAD: usize = "HTTP/1.1 200 OK\r\n\r\n".len();

#[test]
fn only_the_request_that_is_meant_is_disturbed() {
    let proxy = proxy(b"body");
    proxy.disturb("POST", "/containers/*/start", 2, Fault::Answer(409, "name is taken"));
    assert!(answer_to(&proxy, START).ends_with("\r\n\r\nbody"));
    assert!(answer_to(&proxy, "GET /v1.41/containers/4f/json HTTP/1.1").ends_with("body"));
    let answer = answer_to(&proxy, START);
    assert!(answer.starts_with("HTTP/1.1 409 "), "{answer}");
    assert!(answer.ends_with("{\"message\":\"name is taken\"}"), "{answer}");
    assert!(answer_to(&proxy, START).ends_with("body"));
    let disturbed = "POST /containers/4f/start: Answer(409, \"name is taken\")";
    assert_eq!(proxy.disturbed(), [disturbed]);
    assert_eq!(proxy.count("POST", "/containers/*/start"), 3);
    assert_eq!(proxy.requests().len(), 4);
}

#[test]
fn an_answer_is_cut_where_it_is_told() {
    let proxy = proxy(b"0123456789");
    proxy.disturb("POST", "/*", 1, Fault::Cut(HEAD + 4));
    proxy.disturb("POST", "/*", 2, Fault::Cut(0));
    proxy.disturb("POST", "/*", 3, Fault::Kill);
    proxy.disturb("POST", "/*", 4, Fault::Corrupt(HEAD + 1));
    proxy.disturb("POST", "/*", 5, Fault::Slow(400));
    assert!(answer_to(&proxy, START).ends_with("\r\n\r\n0123"));
    assert_eq!(answer_to(&proxy, START), "");
    assert_eq!(answer_to(&proxy, START), "");
    assert!(answer_to(&proxy, START).ends_with("\r\n\r\n0023456789"));
    assert!(answer_to(&proxy, START).ends_with("\r\n\r\n0123456789"));
    assert_eq!(proxy.disturbed().len(), 5);
}

#[test]
fn a_frame_is_cut_in_its_middle() {
    let proxy = proxy(b"\x01\0\0\0\0\0\0\x02ab\x02\0\0\0\0\0\0\x04wxyz");
    proxy.disturb("POST", "/*", 1, Fault::CutFrame(1));
    let answer = answer_to(&proxy, START);
    assert!(answer.ends_with("ab\x02\0\0\0\0\0\0\x04wx"), "{answer:?}");
}

#[test]
fn an_answer_that_is_too_short_to_be_cut_is_not_said_to_be() {
    let proxy = proxy(b"short");
    proxy.disturb("POST", "/*", 1, Fault::Cut(1000));
    assert!(answer_to(&proxy, START).ends_with("short"));
    assert!(proxy.disturbed().is_empty());
}

#[test]
fn a_stalled_answer_keeps_the_connection_and_a_half_closed_one_ends_it() {
    let proxy = proxy(b"0123456789");
    proxy.disturb("POST", "/*", 1, Fault::Stall(HEAD + 2));
    proxy.disturb("POST", "/*", 2, Fault::HalfClose(HEAD + 2));
    let mut stalled = request(&proxy, START);
    let mut text = [0; HEAD + 2];
    stalled.read_exact(&mut text).unwrap();
    stalled.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = stalled.read(&mut text).unwrap_err();
    assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{error}");
    assert!(answer_to(&proxy, START).ends_with("\r\n\r\n01"));
    drop(proxy);
    assert_eq!(stalled.read(&mut text).unwrap_or(0), 0);
}

#[test]
fn a_dead_engine_accepts_nobody_until_it_is_back() {
    let proxy = proxy(b"body");
    proxy.disturb("POST", "/containers/*/start", 1, Fault::Die);
    assert_eq!(answer_to(&proxy, START), "");
    let address = proxy.address().strip_prefix("tcp://").unwrap();
    wait_until("it is gone", Duration::from_secs(10), || TcpStream::connect(address).is_err());
    proxy.revive();
    assert!(answer_to(&proxy, START).ends_with("body"));
}

#[test]
fn what_is_held_back_can_be_seen_to_be() {
    let proxy = proxy(b"body");
    proxy.disturb("POST", "/containers/*/start", 1, Fault::Delay(Duration::from_secs(1000)));
    let mut held = request(&proxy, START);
    wait_until("it is held", Duration::from_secs(10), || !proxy.disturbed().is_empty());
    assert!(answer_to(&proxy, START).ends_with("body"), "another is not");
    drop(proxy);
    let mut text = String::new();
    let _ = held.read_to_string(&mut text);
    assert_eq!(text, "");
}
