//! The secrets of a job: resolved just before it runs, hidden everywhere, gone when it is over.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
};

use libloom_contract::{
    Reason, env,
    event::{Event, EventKind},
    graph::{Graph, Node, Provider},
};
use libloom_record::events::EventLog;
use libloom_redact::{Redactor, Secret, VALUE_BYTES_MIN, is_redactable};
use libloom_secrets::{
    Resolved, SecretError, Value, bytes,
    files::{Files, READABLE},
    resolve, unsafe_to_trace,
};
use libloom_variables::{JobEnvironment, job_environment};
use serde_json::json;

use crate::{
    execution::Script,
    providers::docker::{
        container::{Container, Input},
        made::Made,
    },
    run::Run,
    verdict::Verdict,
};

/// Where what the prelude must not show is written, in the job's folder of secrets.
const PRIVATE_FILE: &str = "private.sh";
/// Where a container sees it.
const PRIVATE_IN_CONTAINER: &str = "/tmp/loom-private.sh";

/// What a job's shells need.
#[derive(Debug)]
pub struct Ready {
    /// Folder they work in.
    pub workspace: PathBuf,
    /// Their environment.
    pub environment: JobEnvironment,
    /// They print their commands.
    pub is_traced: bool,
    /// What they run.
    pub scripts: Vec<Script>,
    /// Where they run; `None`: on the host.
    pub container: Option<Container>,
    /// Files of the host that a container has to see.
    pub inputs: Vec<Input>,
    /// What was made for the job besides.
    pub made: Made,
    /// The workspace on the host.
    pub host_workspace: PathBuf,
    /// Variables that hold a secret, which no argument of a process may show.
    private: Vec<(String, OsString)>,
    /// Where values lie; absent where there are none.
    files: Option<Files>,
}

/// From now on nothing that the run shows or records holds the value of a secret that one of its
/// jobs names: host jobs share the environment that `env://` reads, so each could print them all.
pub fn hide_all(run: &Run, graph: &Graph) {
    let secrets = graph.nodes.iter().flat_map(|node| &node.secrets);
    let mut values: Vec<_> = secrets
        .flat_map(|secret| {
            resolve(std::slice::from_ref(secret), |name| inherited(run, name)).values
        })
        .collect();
    values.sort_by(|a, b| (&a.name, &a.value).cmp(&(&b.name, &b.value)));
    values.dedup_by(|a, b| (&a.name, &a.value) == (&b.name, &b.value));
    let secrets: Vec<Secret<'_>> =
        values.iter().map(|v| Secret { name: &v.name, value: bytes(&v.value) }).collect();
    // Only set here, and once: the plan is made once.
    let _ = run.redactor.set(Redactor::new(&secrets));
}

/// Resolves the secrets of a job and puts them beside the rest of its environment; `workspace` is
/// as the job sees it.
///
/// # Errors
/// The record cannot be written.
pub fn prepare(
    run: &Run,
    node: &Node,
    workspace: PathBuf,
    environment: JobEnvironment,
    events: &mut EventLog,
) -> io::Result<Result<Ready, Verdict>> {
    let is_traced = is_traced(run, &environment);
    let Resolved { values, left_out, mut missing } =
        resolve(&node.secrets, |name| inherited(run, name));
    for error in &left_out {
        let note = say(events, EventKind::Note, error, format!("left out: {error}"));
        events.append(note)?;
    }
    missing.extend(unsafe_to_trace(&node.secrets).filter(|_| is_traced));
    for error in &missing {
        let event = say(events, EventKind::Error, error, error.to_string());
        events.append(event)?;
    }
    if let Some(first) = missing.first() {
        return Ok(Err(refused(first, missing.len() - 1)));
    }
    for value in too_short(&values) {
        let text = format!(
            "secret `{}` is shorter than {VALUE_BYTES_MIN} bytes: it is not hidden in output",
            value.name
        );
        let note = events.subject().say(EventKind::Note, text.clone());
        events.append(note)?;
        run.display.note(&text);
    }
    match place(run, node, environment, &values) {
        Ok(Placed { environment, private, files, inputs }) => Ok(Ok(Ready {
            workspace,
            environment,
            is_traced,
            scripts: Vec::new(),
            container: None,
            inputs,
            made: Made::default(),
            host_workspace: PathBuf::new(),
            private,
            files,
        })),
        Err(error) => Ok(Err(Verdict::failure(Reason::SecretUnavailable, error.to_string()))),
    }
}

type Private = Vec<(String, OsString)>;

/// A job's environment once its secrets are in their places.
struct Placed {
    environment: JobEnvironment,
    private: Private,
    files: Option<Files>,
    inputs: Vec<Input>,
}

/// Puts values where the job finds them: in its environment, or in files. The environment of a
/// container can be read by whoever may ask the engine, so it holds none of them.
fn place(
    run: &Run,
    node: &Node,
    mut environment: JobEnvironment,
    values: &[Value],
) -> io::Result<Placed> {
    let in_container = node.provider == Provider::Docker;
    let shows = |value: &str| *run.redactor().text(value) != *value;
    let (hidden, own) = environment.own.into_iter().partition(|(_, value)| shows(value));
    environment.own = own;
    let hidden: Vec<(String, String)> = hidden;
    let mut private: Private =
        hidden.into_iter().map(|(name, value)| (name, value.into())).collect();
    if values.is_empty() && private.is_empty() {
        return Ok(Placed { environment, private, files: None, inputs: Vec::new() });
    }
    let mut inputs = Vec::new();
    let files = Files::create(&run.temp, &run.id, &node.id)?;
    for (index, value) in values.iter().enumerate() {
        let shown = match value.file {
            true if in_container => {
                let (from, name) = files.write_readable(value, index + 1)?;
                let to = format!("/tmp/{name}");
                inputs.push(Input { from, to: to.clone() });
                to.into()
            }
            true => files.write_value(value, index + 1)?.into_os_string(),
            false => value.value.clone(),
        };
        private.push((value.name.clone(), shown));
    }
    if in_container {
        let is_private = |name: &OsStr| private.iter().any(|(other, _)| name == other.as_str());
        environment.all.retain(|(name, _)| !is_private(name));
        inputs.push(Input { from: files.path(PRIVATE_FILE), to: PRIVATE_IN_CONTAINER.into() });
    } else {
        environment.set(&private);
    }
    Ok(Placed { environment, private, files: Some(files), inputs })
}

impl Ready {
    /// Writes the file that sets what a shell's prelude must not show; its path as the shell sees it.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_private(&self) -> io::Result<Option<PathBuf>> {
        let Some(files) = &self.files else { return Ok(None) };
        let mut text = Vec::new();
        for (name, value) in &self.private {
            text.extend_from_slice(format!("export {name}=").as_bytes());
            push_quoted(&mut text, bytes(value));
            text.push(b'\n');
        }
        let is_mounted = self.inputs.iter().any(|input| input.to == PRIVATE_IN_CONTAINER);
        match is_mounted {
            true => files
                .write_mode(PRIVATE_FILE, &text, READABLE)
                .map(|_| Some(PRIVATE_IN_CONTAINER.into())),
            false => files.write(PRIVATE_FILE, &text).map(Some),
        }
    }
}

/// Any bytes as one word of POSIX shell.
fn push_quoted(text: &mut Vec<u8>, value: &[u8]) {
    text.push(b'\'');
    for (index, part) in value.split(|&byte| byte == b'\'').enumerate() {
        if index > 0 {
            text.extend_from_slice(b"'\\''");
        }
        text.extend_from_slice(part);
    }
    text.push(b'\'');
}

/// The environment of a host job.
pub fn host_environment(run: &Run, node: &Node, workspace: &Path) -> JobEnvironment {
    let inherited = run.inherited.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()));
    job_environment(inherited, &run.predefined_in(workspace).of_job(node), node)
}

fn inherited(run: &Run, name: &str) -> Option<OsString> {
    let found = run.inherited.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.clone())
}

/// Tracing is wished for in the environment of the run or in the job's variables.
fn is_traced(run: &Run, environment: &JobEnvironment) -> bool {
    let wish = |name: &OsStr| name == env::DEBUG_TRACE || name == env::CI_DEBUG_TRACE;
    let mut all = environment.all.iter().chain(&run.inherited);
    all.any(|(name, value)| {
        wish(name) && matches!(value.to_str(), Some("1" | "true" | "yes" | "on"))
    })
}

/// Values that are shown all the same, because hiding them would hide ordinary text.
fn too_short(values: &[Value]) -> impl Iterator<Item = &Value> {
    values.iter().filter(|value| !is_redactable(bytes(&value.value)))
}

fn say(events: &EventLog, kind: EventKind, error: &SecretError, text: String) -> Event {
    let data = json!({"scheme": error.scheme, "secret": error.name, "code": error.code.word()});
    Event { data: data.as_object().cloned(), ..events.subject().say(kind, text) }
}

fn refused(first: &SecretError, others: usize) -> Verdict {
    let message = match others {
        0 => first.to_string(),
        1 => format!("{first}; and one more secret"),
        others => format!("{first}; and {others} more secrets"),
    };
    Verdict::failure(Reason::SecretUnavailable, message)
}
