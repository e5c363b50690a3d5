//! A container engine that tests talk to: what it holds, asked over its socket.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Longer than any call takes that tests make.
const LIMIT: Duration = Duration::from_secs(60);

/// A real Docker engine or Podman's API service, on a unix socket.
#[derive(Clone, Debug)]
pub struct Engine {
    name: &'static str,
    address: String,
}

/// Something that an engine holds and that carries labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// `containers`, `networks` or `volumes`, as in the API's paths.
    pub kind: &'static str,
    /// Id of a container or network, name of a volume.
    pub id: String,
    /// Its name; of a container without the slash.
    pub name: String,
    /// Its labels, an object.
    pub labels: Value,
}

impl Engine {
    /// `docker` or `podman` at an address such as `unix:///var/run/docker.sock`.
    pub fn new(name: &'static str, address: &str) -> Self {
        Self { name, address: address.to_owned() }
    }

    /// `docker` or `podman`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it is Podman's API service.
    pub fn is_podman(&self) -> bool {
        self.name == "podman"
    }

    /// As in `DOCKER_HOST`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Status and body of the answer to a request; the path without the API's version.
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let kind = if body.starts_with(b"{") { "application/json" } else { "application/x-tar" };
        // HTTP 1.0: no chunks, and the end of the answer is the end of the connection.
        let head = format!(
            "{method} /v1.41{path} HTTP/1.0\r\nHost: engine\r\nContent-Type: {kind}\r\n\
             X-Registry-Auth: e30=\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let socket = self.address.strip_prefix("unix://").expect("tests use unix sockets");
        let mut stream = UnixStream::connect(Path::new(socket)).expect("the engine answers");
        stream.set_read_timeout(Some(LIMIT)).expect("a socket has a timeout");
        stream.write_all(&[head.as_bytes(), body].concat()).expect("the engine listens");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the engine answers");
        let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
        let body = answer.split_off(head.expect("an answer has a head") + 4);
        let line = String::from_utf8_lossy(&answer);
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("an answer has a status"), body)
    }

    /// A document; panics with the engine's words where there is none.
    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, b"");
        assert!(status < 300, "GET {path}: {status} {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("documents are JSON")
    }

    /// Everything with a label, `KEY` or `KEY=VALUE`.
    pub fn labelled(&self, label: &str) -> Vec<Object> {
        let filters = encoded(&json!({"label": [label]}).to_string());
        let containers = self.get(&format!("/containers/json?all=1&filters={filters}"));
        let networks = self.get(&format!("/networks?filters={filters}"));
        let volumes = self.get(&format!("/volumes?filters={filters}"));
        let all = [
            ("containers", &containers, "Id", "/Names/0"),
            ("networks", &networks, "Id", "/Name"),
            ("volumes", &volumes["Volumes"], "Name", "/Name"),
        ];
        let objects = all.into_iter().flat_map(|(kind, list, id, name)| {
            let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
            list.iter().map(move |object| Object {
                kind,
                id: object[id].as_str().unwrap_or_default().to_owned(),
                name: object
                    .pointer(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .trim_start_matches('/')
                    .to_owned(),
                labels: object["Labels"].clone(),
            })
        });
        objects.collect()
    }

    /// Removes a container, running or not, a network or a volume; whether it is gone.
    pub fn remove(&self, object: &Object) -> bool {
        let path = format!("/{}/{}?force=1&v=1", object.kind, object.id);
        let (status, _) = self.ask("DELETE", &path, b"");
        status < 300 || status == 404
    }

    /// What runs of Loom in repositories below `folder` left.
    pub(crate) fn of_runs_below(&self, folder: &Path) -> Vec<Object> {
        let mut objects = self.labelled("loom.run_id");
        let is_below = |repo: &str| Path::new(repo).starts_with(folder);
        objects.retain(|object| object.labels["loom.repo"].as_str().is_some_and(is_below));
        objects
    }
}

/// For a query.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
