//! The real binary as a child process.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::PATIENCE;

/// A command line that is about to be run, in an environment with nothing but `PATH`.
#[derive(Clone, Debug)]
pub struct Launch {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

impl Launch {
    /// The binary at this path; tests give `env!("CARGO_BIN_EXE_caching-proxy")`.
    pub fn new(program: impl AsRef<Path>) -> Self {
        let kept = ["PATH", "LLVM_PROFILE_FILE"];
        let env = kept.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?)));
        Self { program: program.as_ref().into(), args: Vec::new(), env: env.collect() }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().into()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().into(), value.as_ref().into()));
        self
    }

    /// Lets it have no more open files than this.
    #[must_use]
    pub fn within_files(self, most: u64) -> Self {
        let script = format!("ulimit -n {most}; exec \"$0\" \"$@\"");
        let args = ["-c".into(), script.into(), self.program.into_os_string()].into_iter();
        Self { program: "sh".into(), args: args.chain(self.args).collect(), env: self.env }
    }

    /// Starts it and waits for its ready line.
    pub fn start(&self) -> Binary {
        let mut started = self.begin();
        let (ready, exit) = (started.is_ready(), started.child.try_wait());
        assert!(ready, "not ready, exit {exit:?}: {}", started.stderr());
        started
    }

    /// Starts it, and waits for nothing.
    pub fn begin(&self) -> Binary {
        let mut child = self.spawn();
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().expect("stderr is piped");
        let reader = Arc::clone(&log);
        thread::spawn(move || reader.collect(stderr));
        // Nobody reads standard output, but a full pipe would stop the child.
        let mut stdout = child.stdout.take().expect("stdout is piped");
        thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Binary { child, log, url: String::new() }
    }

    /// Runs it to its end, at most [`PATIENCE`].
    pub fn run(&self) -> Output {
        let mut child = self.spawn();
        let stdout = read_all(child.stdout.take());
        let stderr = read_all(child.stderr.take());
        let status = wait(&mut child).unwrap_or_else(|| {
            let _ = child.kill();
            panic!("still running after {PATIENCE:?}: {:?}", self.args)
        });
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        Output { code: status.code(), status, stdout, stderr }
    }

    fn spawn(&self) -> Child {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(self.env.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the binary can be started")
    }
}

/// What a command left that has exited.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The whole exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// The running binary. It is killed when this is dropped.
pub struct Binary {
    child: Child,
    log: Arc<Log>,
    url: String,
}

impl Binary {
    /// Starts the binary at `program` with these arguments and waits for its ready line.
    pub fn start<A: AsRef<OsStr>>(
        program: impl AsRef<Path>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Launch::new(program).args(args).start()
    }

    /// Runs the binary at `program` with these arguments to its end.
    pub fn run<A: AsRef<OsStr>>(
        program: impl AsRef<Path>,
        args: impl IntoIterator<Item = A>,
    ) -> Output {
        Launch::new(program).args(args).run()
    }

    /// Waits for its ready line; false if it has ended without one.
    pub fn is_ready(&mut self) -> bool {
        let url = self.log.wait_for_url();
        self.url = url.unwrap_or_default();
        !self.url.is_empty()
    }

    /// The URL of its ready line, without a final slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port of [`Binary::url`].
    pub fn port(&self) -> u16 {
        let port = self.url.rsplit(':').next().unwrap_or_default();
        port.parse().expect("the ready line's URL ends with a port")
    }

    /// A text of its ready line, such as `tls_url`.
    pub fn ready(&self, member: &str) -> Option<String> {
        let text = self.stderr();
        text_member(text.lines().find(|line| line.contains(r#""event":"ready""#))?, member)
    }

    /// Waits until it has written this to standard error; says whether it did.
    pub fn says(&self, what: &str) -> bool {
        let state = self.log.state.lock().unwrap();
        let silent = |state: &mut LogState| !state.text.contains(what) && !state.ended;
        let (state, _) = self.log.changed.wait_timeout_while(state, PATIENCE, silent).unwrap();
        state.text.contains(what)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The names of the files that it has open; of one that has lost its name too. None where the
    /// system does not tell.
    pub fn open_files(&self) -> Vec<String> {
        let Ok(open) = std::fs::read_dir(format!("/proc/{}/fd", self.pid())) else {
            return Vec::new();
        };
        let names = open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        names.map(|name| name.display().to_string()).collect()
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.log.state.lock().unwrap().text.clone()
    }

    /// Ends it at once with SIGKILL.
    pub fn kill9(mut self) {
        self.child.kill().expect("the child can be killed");
        self.child.wait().expect("the child can be waited for");
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.exited()
    }

    /// Sends SIGINT, as Ctrl-C does, and waits for the end.
    pub fn interrupt(mut self) -> ExitStatus {
        self.signal(Signal::INT);
        self.exited()
    }

    /// Stops it in its tracks, as SIGSTOP does, until [`Binary::thaw`].
    pub fn freeze(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Sends SIGTERM and returns at once; see [`Binary::exited`].
    pub fn send_term(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGHUP.
    pub fn send_hangup(&mut self) {
        self.signal(Signal::HUP);
    }

    /// Waits for the end, at most [`PATIENCE`].
    pub fn exited(&mut self) -> ExitStatus {
        wait(&mut self.child).unwrap_or_else(|| panic!("still running: {}", self.stderr()))
    }

    /// True while it has not exited.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the child can be asked").is_none()
    }

    fn signal(&mut self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill_process(Pid::from_raw(pid).expect("a process id"), signal).expect("it can be told");
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the child wrote, collected by a thread.
#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Default)]
struct LogState {
    text: String,
    url: Option<String>,
    ended: bool,
}

impl Log {
    fn collect(&self, stderr: impl Read) {
        let mut lines = BufReader::new(stderr);
        let mut line = Vec::new();
        while matches!(lines.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            let mut state = self.state.lock().unwrap();
            if state.url.is_none() && text.contains(r#""event":"ready""#) {
                state.url = text_member(&text, "url").map(|url| url.trim_end_matches('/').into());
            }
            state.text.push_str(&text);
            drop(state);
            self.changed.notify_all();
            line.clear();
        }
        self.state.lock().unwrap().ended = true;
        self.changed.notify_all();
    }

    fn wait_for_url(&self) -> Option<String> {
        let state = self.state.lock().unwrap();
        let waiting = |state: &mut LogState| state.url.is_none() && !state.ended;
        let (state, _) = self.changed.wait_timeout_while(state, PATIENCE, waiting).unwrap();
        state.url.clone()
    }
}

/// The value of a string member without escapes in one line of JSON.
fn text_member(json: &str, name: &str) -> Option<String> {
    let (_, rest) = json.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next().map(ToOwned::to_owned)
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().expect("the child can be asked") {
            return Some(status);
        }
        thread::sleep(std::time::Duration::from_millis(5));
    }
    None
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.expect("the output is piped").read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
