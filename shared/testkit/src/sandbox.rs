//! A temporary folder in which commands run as if nothing else existed.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::{Engine, Leftovers, Repo, binaries, check_documents, leftovers, normalize};

/// Long enough for a slow machine, short enough that a hanging test ends.
const LIMIT: Duration = Duration::from_secs(120);

const GIT_CONFIG: &str = "[user]\n\tname = Test\n\temail = test@example.invalid\n\
    [init]\n\tdefaultBranch = main\n[commit]\n\tgpgsign = false\n[protocol \"file\"]\n\tallow = always\n";

/// A closed room: own `HOME`, git configuration, `TMPDIR`; `PATH` holds `bin/` of the sandbox,
/// the built executables, `/usr/bin` and `/bin`.
#[derive(Debug)]
pub struct Sandbox {
    folder: TempDir,
    root: PathBuf,
    leftovers: Cell<Leftovers>,
    repos: RefCell<Vec<PathBuf>>,
    engine: RefCell<Option<Engine>>,
    engine_address: RefCell<String>,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// A new, empty sandbox with the strict [`Leftovers`] policy.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("loom-test-").tempdir();
        let folder = folder.expect("the temp folder is writable");
        let root = folder.path().canonicalize().expect("the sandbox exists");
        for name in ["home", "tmp", "bin"] {
            fs::create_dir(root.join(name)).expect("the sandbox is writable");
        }
        fs::write(root.join("home/.gitconfig"), GIT_CONFIG).expect("the sandbox is writable");
        Self {
            folder,
            root,
            leftovers: Cell::default(),
            repos: RefCell::default(),
            engine: RefCell::default(),
            engine_address: RefCell::default(),
        }
    }

    /// Every command from now on finds this engine, and nothing of the sandbox's runs may be left
    /// in it at the end, whatever the policy.
    pub fn use_engine(&self, engine: &Engine) {
        self.use_address(engine.address());
        self.engine.replace(Some(engine.clone()));
    }

    /// Every command from now on finds an engine at this address, as through a [`crate::Proxy`].
    pub fn use_address(&self, address: &str) {
        self.engine_address.replace(address.to_owned());
    }

    /// Changes what may be left behind when the sandbox is dropped.
    pub fn allow(&self, leftovers: Leftovers) {
        self.leftovers.set(leftovers);
    }

    /// The top folder, without symbolic links in its path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `HOME` of every command.
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// `TMPDIR` of every command.
    pub fn temp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// First folder on `PATH`, empty at first; see [`Sandbox::script`].
    pub fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// Puts an executable `sh` script called `name` into `folder` (made if missing).
    pub fn script(&self, folder: &Path, name: &str, body: &str) -> PathBuf {
        fs::create_dir_all(folder).expect("the sandbox is writable");
        let path = folder.join(name);
        self.executable(&path, &format!("#!/bin/sh\n{body}\n"));
        path
    }

    /// Writes an executable file.
    ///
    /// Another process writes it: if this one did, a child that another thread starts at that
    /// moment would inherit the open file, and running the file would fail with "text file busy".
    pub fn executable(&self, path: &Path, text: &str) {
        let mut writer = Command::new("/bin/sh");
        writer.args(["-c", "printf %s \"$2\" >\"$1\" && chmod 755 \"$1\"", "sh"]);
        let status = writer.arg(path).arg(text).status().expect("there is a shell");
        assert!(status.success(), "cannot write `{}`", path.display());
    }

    /// Copies built executables into `folder`, as an installation of their own; by another
    /// process, for the reason given at [`Sandbox::executable`].
    pub fn install(&self, folder: &Path, names: &[&str]) {
        fs::create_dir_all(folder).expect("the sandbox is writable");
        let built = names.iter().map(|name| binaries().join(name));
        let status = Command::new("/bin/cp").args(built).arg(folder).status();
        assert!(status.expect("there is `cp`").success(), "cannot copy {names:?}");
    }

    /// `PATH` of every command.
    pub fn path(&self) -> OsString {
        let folders = [self.bin(), binaries().to_owned(), "/usr/bin".into(), "/bin".into()];
        std::env::join_paths(folders).expect("no folder has a colon")
    }

    /// A built executable (`loom-run`) to be run in the sandbox, with assertions.
    pub fn command(&self, name: &str) -> assert_cmd::Command {
        let mut command = assert_cmd::Command::from_std(self.process(name));
        command.timeout(LIMIT);
        command
    }

    /// The dispatcher, with assertions.
    pub fn loom(&self) -> assert_cmd::Command {
        self.command("loom")
    }

    /// A built executable as a plain process, for tests that signal it while it runs.
    pub fn process(&self, name: &str) -> Command {
        self.program(&binaries().join(name))
    }

    /// Any program in the sandbox's environment.
    pub fn program(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env_clear().envs(self.environment());
        command
    }

    /// The whole environment of a command.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut environment = vec![
            ("HOME", self.home().into()),
            ("PATH", self.path()),
            ("TMPDIR", self.temp().into()),
            ("LANG", "C.UTF-8".into()),
            ("TZ", "UTC".into()),
            ("USER", "test".into()),
            ("GIT_CONFIG_GLOBAL", self.home().join(".gitconfig").into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z".into()),
            ("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z".into()),
        ];
        let address = self.engine_address.borrow();
        if !address.is_empty() {
            environment.push(("DOCKER_HOST", address.as_str().into()));
        }
        environment
    }

    /// A new git repository `name` on branch `main`, without a commit.
    pub fn repo_named(&self, name: &str) -> Repo<'_> {
        let repo = Repo::init(self, self.root.join(name));
        self.repos.borrow_mut().push(repo.root().to_owned());
        repo
    }

    /// A new git repository called `repo`.
    pub fn repo(&self) -> Repo<'_> {
        self.repo_named("repo")
    }

    /// `text` with paths, ids and times of this sandbox replaced by words.
    pub fn normalize(&self, text: &str) -> String {
        normalize(text, &self.root)
    }

    /// Fails if a document of one of the repositories breaks the contract; called on drop, except
    /// under the policies for tests that damage things ([`Leftovers`]).
    pub fn check_documents(&self) {
        if self.leftovers.get().documents_are_whole() {
            for repo in self.repos.borrow().iter() {
                check_documents(&repo.join(libloom_contract::layout::RUNTIME));
            }
        }
    }

    /// Fails if something was left behind that the policy forbids; called on drop.
    pub fn check_leftovers(&self) {
        leftovers::check(self.leftovers.get(), &self.root, &self.temp(), &self.repos.borrow());
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let ended = leftovers::end_processes(&self.root, self.leftovers.get());
        let objects = leftovers::remove_objects(self.engine.borrow().as_ref(), &self.root);
        if std::thread::panicking() {
            return;
        }
        assert!(ended.is_empty(), "processes left behind:\n{}", ended.join("\n"));
        assert!(objects.is_empty(), "left in the engine: {objects:#?}");
        self.check_leftovers();
        self.check_documents();
        make_removable(self.folder.path());
    }
}

/// Folders that a test made read-only would keep the sandbox from being removed.
fn make_removable(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::set_permissions(entry.path(), Permissions::from_mode(0o755));
            make_removable(&entry.path());
        }
    }
}
