//! Becomes the shell: `sh -lc` as the job's own, so that the login profile and what is put right
//! after it are the same; then a dialogue, a line or a program.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::Command,
};

use libloom_console::printable;
use libloom_contract::layout;
use libloom_entry::{Context, Failure, OrFail as _, is_executable};
use libloom_secrets::{Resolved, files::Files, resolve};
use libloom_variables::{Prelude, quoted};

use crate::{job::Job, place::Place};

/// What the shell is for.
#[derive(Debug)]
pub enum Wish {
    /// A person types.
    Dialogue,
    /// A line of shell.
    Line(String),
    /// A program with its arguments.
    Program(Vec<OsString>),
}

/// Becomes the shell.
///
/// # Errors
/// There is no shell, or it cannot be started.
pub fn become_shell(
    place: &Place,
    job: &Job,
    wish: Wish,
    context: &Context,
) -> Result<u8, Failure> {
    let sh = find(context, "sh").ok_or_else(|| {
        Failure::could_not("shell \"sh\" not found in PATH")
            .hint("install a POSIX shell, or add the folder that holds `sh` to PATH")
    })?;
    let secrets = Secrets::of(place, job, context)?;
    let prelude = Prelude {
        workspace: &job.workspace,
        path: &job.environment.path,
        variables: &job.environment.own,
        private: None,
        is_first_process: false,
    };
    let then = match &wish {
        Wish::Dialogue => dialogue(job, context),
        Wish::Line(line) => line.clone(),
        Wish::Program(_) => "exec \"$@\"".into(),
    };
    let text = prelude.text() + &secrets.around(&then);
    if matches!(wish, Wish::Dialogue) {
        context.console.status(format_args!(
            "job `{}` of run `{}` in `{}`; `exit` ends the shell",
            printable(&job.node.label),
            place.receipt.run_id,
            job.workspace.display()
        ));
    }
    let mut command = Command::new(&sh);
    command.arg0("sh").arg("-lc").arg(text).arg("sh");
    if let Wish::Program(program) = wish {
        command.args(program);
    }
    command.env_clear().envs(job.environment.all.iter().map(|(name, value)| (name, value)));
    command.envs(secrets.variables.iter().map(|(name, value)| (name, value)));
    let error = command.current_dir(&job.workspace).exec();
    Err(error).or_could_not(format_args!("cannot start `{}`", sh.display()))
}

fn find(context: &Context, name: &str) -> Option<PathBuf> {
    let folders = context.env.path_folders().into_iter();
    folders.map(|folder| folder.join(name)).find(|path| is_executable(path))
}

/// The text that begins a dialogue: bash where there is one, without the user's own settings, which
/// would change what the job had. Without a terminal, commands are read from stdin.
fn dialogue(job: &Job, context: &Context) -> String {
    if !io::stdin().is_terminal() {
        return "exec sh".into();
    }
    let name = job.node.id.as_str();
    match find(context, "bash") {
        Some(bash) => {
            let prompt = quoted(&format!("[loom {name}] \\W \\$ "));
            let bash = quoted(&bash.to_string_lossy());
            format!("PS1={prompt}; export PS1; exec {bash} --noprofile --norc -i")
        }
        None => format!("PS1={}; export PS1; exec sh -i", quoted(&format!("[loom {name}] $ "))),
    }
}

/// Secrets of the job, resolved again.
struct Secrets {
    /// Variables with a value, or with the path of a file that holds it.
    variables: Vec<(String, OsString)>,
    /// The folder of the files, which the shell removes when it ends.
    folder: Option<PathBuf>,
}

impl Secrets {
    fn of(place: &Place, job: &Job, context: &Context) -> Result<Self, Failure> {
        let environment = |name: &str| context.env.get(name).map(ToOwned::to_owned);
        let Resolved { values, left_out, missing } = resolve(&job.node.secrets, environment);
        for error in left_out.iter().chain(&missing) {
            context.console.note(format_args!("left out: {error}"));
        }
        let mut secrets = Secrets { variables: Vec::new(), folder: None };
        // Apart from those of the run and of other shells.
        let owner = format!("{}-shell-{}", place.receipt.run_id, std::process::id());
        let temp = context.env.temp_folder();
        let mut files = None;
        for (index, value) in values.iter().enumerate() {
            let shown = if value.file {
                secrets.folder = Some(layout::secrets(&temp, &owner));
                let made = match &mut files {
                    Some(files) => Ok(files),
                    None => Files::create(&temp, &owner, &job.node.id).map(|new| files.insert(new)),
                };
                let written = made.and_then(|files| files.write_value(value, index + 1));
                written.or_could_not("cannot write the job's secrets")?.into_os_string()
            } else {
                value.value.clone()
            };
            secrets.variables.push((value.name.clone(), shown));
        }
        // The shell removes them; this process is no more by then.
        std::mem::forget(files);
        Ok(secrets)
    }

    /// `then`, and afterwards the removal of the files, whatever ended it.
    fn around(&self, then: &str) -> String {
        let Some(folder) = &self.folder else { return then.to_owned() };
        let folder = quoted(&folder.to_string_lossy());
        format!("trap 'rm -rf -- '{} EXIT; trap 'exit 143' HUP TERM; ({then}\n)", quoted(&folder))
    }
}
