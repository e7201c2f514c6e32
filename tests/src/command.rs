//! The program under test, started as a shell would start it.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a test waits for the program to do what it waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// A command line that is being put together.
#[derive(Clone, Debug)]
pub struct Longstrand {
    binary: &'static str,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    stdin: Option<PathBuf>,
    folder: Option<PathBuf>,
    sees_gpus: bool,
}

impl Longstrand {
    /// The program at this path; only an integration test knows it, as `CARGO_BIN_EXE_longstrand-under-test`.
    pub fn at(binary: &'static str) -> Self {
        Self { binary, arguments: Vec::new(), variables: Vec::new(), stdin: None, folder: None, sees_gpus: false }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().into());
        self
    }

    /// Adds arguments that hold no spaces, as one line.
    pub fn args(mut self, line: &str) -> Self {
        self.arguments.extend(line.split_whitespace().map(OsString::from));
        self
    }

    /// `embed INPUT -o OUTPUT`, quiet.
    pub fn embed(self, input: impl AsRef<Path>, output: impl AsRef<Path>) -> Self {
        self.arg("embed").arg(input.as_ref()).arg("-o").arg(output.as_ref()).arg("-q")
    }

    /// `--model MODEL`.
    pub fn model(self, model: impl AsRef<Path>) -> Self {
        self.arg("--model").arg(model.as_ref())
    }

    /// Sets an environment variable.
    pub fn variable(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name, value.as_ref().into()));
        self
    }

    /// Computes on a GPU. Otherwise the program sees none, as tests compare bits.
    pub fn on_gpu(mut self) -> Self {
        self.sees_gpus = true;
        self.args("--device cuda")
    }

    /// Takes standard input from a file.
    pub fn stdin(mut self, file: impl AsRef<Path>) -> Self {
        self.stdin = Some(file.as_ref().into());
        self
    }

    /// Starts it in a folder.
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = Some(folder.as_ref().into());
        self
    }

    fn prepare(&self, mut command: Command) -> Command {
        command.args(&self.arguments).env_remove("LONGSTRAND_SIMD").envs(self.variables.iter().cloned());
        if !self.sees_gpus {
            command.env("CUDA_VISIBLE_DEVICES", "");
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command.stdin(match &self.stdin {
            Some(file) => Stdio::from(File::open(file).expect("a file for standard input")),
            None => Stdio::null(),
        });
        command
    }

    /// Runs it to its end.
    pub fn run(&self) -> Finished {
        let output = self.prepare(Command::new(self.binary)).output().expect("the program starts");
        Finished::of(self, &output)
    }

    /// Runs it in a shell that limits files to this many blocks of 512 or 1,024 bytes, as a full disk would. The signal that
    /// comes with it has its default action, which is to end a process.
    pub fn run_with_file_limit(&self, blocks: usize) -> Finished {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -f {blocks}; exec env --default-signal=XFSZ \"$0\" \"$@\""), self.binary]);
        Finished::of(self, &self.prepare(shell).output().expect("a shell starts"))
    }

    /// Runs it without a standard output.
    pub fn run_without_stdout(&self) -> Finished {
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$0\" \"$@\" >&-", self.binary]);
        Finished::of(self, &self.prepare(shell).output().expect("a shell starts"))
    }

    /// Runs it and asserts that it succeeds.
    pub fn succeeds(&self) -> Finished {
        let finished = self.run();
        assert_eq!(finished.code, Some(0), "{finished}");
        finished
    }

    /// Runs it and asserts the exit code and that the message, one line, says all of this.
    pub fn fails(&self, code: i32, says: &[&str]) -> Finished {
        self.run().failed(code, says)
    }

    /// Starts it with the signals' default actions, whatever this process ignores.
    pub fn start(&self) -> Running {
        self.start_ignoring("")
    }

    /// Starts it as a parent does that ignores these signals, as `INT,HUP`; the others have their default actions.
    pub fn start_ignoring(&self, signals: &str) -> Running {
        let mut env = Command::new("env");
        env.arg("--default-signal=INT,TERM,HUP");
        if !signals.is_empty() {
            env.arg(format!("--ignore-signal={signals}"));
        }
        env.arg(self.binary);
        let child = self.prepare(env).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Running { command: self.clone(), child: child.expect("the program starts") }
    }
}

/// Waits for a process that writes little to its pipes; returns the most bytes of memory that it was seen to have held, which
/// Linux tells as long as it lives.
///
/// # Errors
///
/// - it is no child of this process
pub fn peak(child: &mut Child) -> io::Result<u64> {
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let held = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"));
        peak = held.and_then(|kib| kib.trim().parse::<u64>().ok()).map_or(peak, |kib| kib << 10);
        thread::sleep(Duration::from_millis(2));
    }
    Ok(peak)
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    command: Longstrand,
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    fn of(command: &Longstrand, output: &Output) -> Self {
        Self {
            command: command.clone(),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts the exit code and that the message, one line, says all of this.
    pub fn failed(self, code: i32, says: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        assert!(self.stderr.starts_with("longstrand: error: "), "{self}");
        assert_eq!(self.stderr.lines().count(), 1, "{self}");
        for words in says {
            assert!(self.stderr.contains(words), "expected to read {words:?}: {self}");
        }
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} ended with {:?}\n{}{}", self.command.arguments, self.code, self.stdout, self.stderr)
    }
}

/// A program at work.
#[derive(Debug)]
pub struct Running {
    command: Longstrand,
    child: Child,
}

impl Running {
    /// Waits until a file or folder is there.
    ///
    /// # Panics
    ///
    /// When the program ends before that, or does not get there.
    pub fn wait_for(&mut self, path: &Path) {
        let started = Instant::now();
        while !path.exists() {
            let status = self.child.try_wait().expect("a child of this process");
            assert_eq!(status, None, "{:?} ended before {} was there", self.command.arguments, path.display());
            assert!(started.elapsed() < PATIENCE, "no {} in time", path.display());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until the program listens for Ctrl-C.
    ///
    /// # Panics
    ///
    /// When it ends before that, or does not get there.
    #[cfg(target_os = "linux")]
    pub fn wait_until_it_listens(&self) {
        const SIGINT: u64 = 1 << 1;
        let (status, started) = (format!("/proc/{}/status", self.child.id()), Instant::now());
        let caught = || {
            let status = std::fs::read_to_string(&status).expect("the program is there");
            let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("it has not ended");
            u64::from_str_radix(mask.trim(), 16).expect("a mask")
        };
        while caught() & SIGINT == 0 {
            assert!(started.elapsed() < PATIENCE, "{:?} does not listen", self.command.arguments);
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends a signal, as `INT`.
    pub fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(kill.expect("kill starts").success());
    }

    /// Waits for the end; the most bytes of memory that the program has held come with it.
    pub fn finish_with_peak(mut self) -> (Finished, u64) {
        let peak = peak(&mut self.child).expect("a child of this process");
        (self.finish(), peak)
    }

    /// Waits for the end.
    pub fn finish(self) -> Finished {
        let output = self.child.wait_with_output().expect("a child of this process");
        Finished::of(&self.command, &output)
    }
}
