//! Starts a job's shell: in a session of its own, with the signals of a fresh login.
//!
//! `posix_spawn` itself, because the standard library forks where a session is wished for, and
//! copying the pages of `loom-run` for a process that replaces them at once cost more than
//! everything else that `loom-run` does for a small job.

use std::{
    ffi::{CStr, CString, OsString},
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::Path,
    ptr,
};

use rustix::pipe::{PipeFlags, pipe_with};

use super::host::Shell;

/// Signals that the shell has as a fresh login would, whatever Loom or its caller made of them;
/// Rust programs ignore the last one.
const RESET: [i32; 5] = [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGTERM, libc::SIGPIPE];

/// A shell that was started.
#[derive(Debug)]
pub struct Started {
    /// Its number, which is also its session's.
    pub pid: i32,
    /// What it writes to stdout and to stderr.
    pub streams: [OwnedFd; 2],
}

/// Starts a shell with an empty stdin; nothing else of this process is open in it.
///
/// # Errors
/// A string holds a NUL byte, or what the system says.
pub fn spawn(shell: &Shell<'_>) -> io::Result<Started> {
    let program = text(shell.program)?;
    let arguments = [Ok(c"sh".to_owned())].into_iter();
    let arguments =
        arguments.chain(shell.arguments.iter().map(|argument| Ok(CString::new(&**argument)?)));
    let arguments = arguments.collect::<io::Result<Vec<_>>>()?;
    let environment = shell.environment.iter().map(|(name, value)| assignment(name, value));
    let environment = environment.collect::<io::Result<Vec<_>>>()?;

    let (stdout, stdout_end) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, stderr_end) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut files = Files::new()?;
    files.open_for_reading(0, c"/dev/null")?;
    files.duplicate(&stdout_end, 1)?;
    files.duplicate(&stderr_end, 2)?;
    files.enter(&text(shell.workspace)?)?;
    let pid = start(&program, &arguments, &environment, &files)?;
    Ok(Started { pid, streams: [stdout, stderr] })
}

fn text(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

fn assignment(name: &OsString, value: &OsString) -> io::Result<CString> {
    let mut text = name.clone();
    text.push("=");
    text.push(value);
    Ok(CString::new(text.into_vec())?)
}

#[expect(unsafe_code, reason = "posix_spawn has no safe wrapper")]
fn start(
    program: &CStr,
    arguments: &[CString],
    environment: &[CString],
    files: &Files,
) -> io::Result<i32> {
    let attributes = Attributes::new()?;
    let [arguments, environment] = [arguments, environment].map(pointers);
    let mut pid = 0;
    // SAFETY: the strings end with NUL and the arrays of pointers to them with a null pointer;
    // all of them, like the initialised actions and attributes, live through the call, which
    // writes to none of them.
    result(unsafe {
        libc::posix_spawn(
            &raw mut pid,
            program.as_ptr(),
            &raw const files.0,
            &raw const attributes.0,
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    })?;
    Ok(pid)
}

fn pointers(strings: &[CString]) -> Vec<*mut libc::c_char> {
    let all = strings.iter().map(|string| string.as_ptr().cast_mut());
    all.chain([ptr::null_mut()]).collect()
}

/// What these functions return is an error's number, or 0.
fn result(number: libc::c_int) -> io::Result<()> {
    if number == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(number)) }
}

/// What is done with the descriptors and the folder of the new process, in order.
struct Files(libc::posix_spawn_file_actions_t);

#[expect(unsafe_code, reason = "posix_spawn has no safe wrapper")]
impl Files {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: initialises what is read only if it succeeds.
        unsafe {
            result(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
            Ok(Files(actions.assume_init()))
        }
    }

    fn open_for_reading(&mut self, descriptor: i32, path: &CStr) -> io::Result<()> {
        let actions = &raw mut self.0;
        // SAFETY: the actions are initialised; the path is copied.
        result(unsafe {
            let flags = libc::O_RDONLY;
            libc::posix_spawn_file_actions_addopen(actions, descriptor, path.as_ptr(), flags, 0)
        })
    }

    fn duplicate(&mut self, from: &OwnedFd, to: i32) -> io::Result<()> {
        let actions = &raw mut self.0;
        // SAFETY: the actions are initialised.
        result(unsafe { libc::posix_spawn_file_actions_adddup2(actions, from.as_raw_fd(), to) })
    }

    fn enter(&mut self, folder: &CStr) -> io::Result<()> {
        let actions = &raw mut self.0;
        // SAFETY: the actions are initialised; the path is copied.
        result(unsafe { libc::posix_spawn_file_actions_addchdir_np(actions, folder.as_ptr()) })
    }
}

#[expect(unsafe_code, reason = "posix_spawn has no safe wrapper")]
impl Drop for Files {
    fn drop(&mut self) {
        // SAFETY: initialised, and not used again.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

/// Session and signals of the new process.
struct Attributes(libc::posix_spawnattr_t);

#[expect(unsafe_code, reason = "posix_spawn has no safe wrapper")]
impl Attributes {
    fn new() -> io::Result<Self> {
        const FLAGS: libc::c_short = libc::POSIX_SPAWN_SETSID
            | libc::POSIX_SPAWN_SETSIGMASK as libc::c_short
            | libc::POSIX_SPAWN_SETSIGDEF as libc::c_short;
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: attributes and sets are initialised before they are used; sets are copied.
        unsafe {
            result(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
            let mut attributes = Attributes(attributes.assume_init());
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            result(libc::posix_spawnattr_setsigmask(&raw mut attributes.0, &raw const set))?;
            for signal in RESET {
                libc::sigaddset(&raw mut set, signal);
            }
            result(libc::posix_spawnattr_setsigdefault(&raw mut attributes.0, &raw const set))?;
            result(libc::posix_spawnattr_setflags(&raw mut attributes.0, FLAGS))?;
            Ok(attributes)
        }
    }
}

#[expect(unsafe_code, reason = "posix_spawn has no safe wrapper")]
impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised, and not used again.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, time::Duration};

    use super::*;

    fn start_shell(script: &str, environment: &[(OsString, OsString)]) -> io::Result<Started> {
        spawn(&Shell {
            program: Path::new("/bin/sh"),
            arguments: vec!["-c".into(), script.into()],
            environment,
            workspace: Path::new("/usr"),
            marks: Vec::new(),
            deadline: None,
            grace: Duration::ZERO,
        })
    }

    fn environment() -> [(OsString, OsString); 2] {
        [("A", "a=b"), ("PATH", "/usr/bin:/bin")].map(|(name, value)| (name.into(), value.into()))
    }

    /// What the script wrote to both streams.
    fn output(script: &str) -> [String; 2] {
        let started = start_shell(script, &environment()).unwrap();
        let texts = started.streams.map(|stream| io::read_to_string(File::from(stream)).unwrap());
        crate::processes::wait(started.pid).unwrap();
        texts
    }

    #[test]
    fn shell_has_its_folder_environment_name_and_streams() {
        let [out, err] = output("pwd; echo \"$A $0\"; cat; echo err >&2; env | sort | head -1");
        assert_eq!((&*out, &*err), ("/usr\na=b sh\nA=a=b\n", "err\n"));
    }

    #[test]
    fn shell_leads_a_session() {
        let [out, _] = output("set -- $(cat /proc/$$/stat); [ $6 = $$ ] && echo leads");
        assert_eq!(out, "leads\n");
    }

    #[test]
    fn shell_holds_no_pipe_of_a_job_beside_it() {
        let beside = start_shell("exec sleep 60", &environment()).unwrap();
        let pipes = beside.streams.each_ref().map(|stream| {
            let link = format!("/proc/self/fd/{}", stream.as_raw_fd());
            std::fs::read_link(link).unwrap().to_string_lossy().into_owned()
        });
        let [out, _] = output("ls -l /proc/$$/fd/");
        assert!(out.contains("pipe:"), "{out}");
        assert!(!pipes.iter().any(|pipe| out.contains(pipe)), "{pipes:?} in {out}");
        let pid = rustix::process::Pid::from_raw(beside.pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        crate::processes::wait(beside.pid).unwrap();
    }

    #[test]
    fn no_signal_is_blocked_or_ignored() {
        let [out, _] = output("grep -E '^Sig(Blk|Ign)' /proc/self/status | cut -f2");
        let sets: Vec<u64> = out.lines().map(|s| u64::from_str_radix(s, 16).unwrap()).collect();
        let reset: u64 = RESET.iter().map(|signal| 1 << (signal - 1)).sum();
        assert_eq!((sets[0], sets[1] & reset), (0, 0));
    }

    #[test]
    fn what_cannot_be_started_says_why() {
        let nul = start_shell("echo \0", &[]).unwrap_err();
        assert_eq!(nul.kind(), io::ErrorKind::InvalidInput);
        let long = "x".repeat(3 << 20);
        let error = start_shell(&long, &[]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::E2BIG));
        let started = start_shell("exit 7", &[]).unwrap();
        assert_eq!(crate::processes::wait(started.pid).unwrap().exit_code, 7);
    }
}
